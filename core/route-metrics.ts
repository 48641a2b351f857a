// The series of one route, resolved when the route is compiled: counting is adding to a typed array.
import type { Metrics } from './metrics.ts';

export class RouteMetrics {
  readonly metrics: Metrics;
  readonly requests: number;
  readonly errors: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly latency: number;
  readonly connections: number;
  readonly active: number;

  #users = 1;

  constructor(metrics: Metrics, route: string, protocol: string) {
    const labels = { route, protocol };
    this.metrics = metrics;
    this.requests = metrics.counter('millrace_requests_total', 'Requests answered or failed.', labels);
    this.errors = metrics.counter('millrace_request_errors_total', 'Requests that Millrace itself answered with an error.', labels);
    this.bytesIn = metrics.counter('millrace_received_bytes_total', 'Bytes received from clients.', labels);
    this.bytesOut = metrics.counter('millrace_sent_bytes_total', 'Bytes sent to clients.', labels);
    this.latency = metrics.histogram('millrace_request_duration_seconds', 'From a request being read to its answer being sent.', labels);
    this.connections = metrics.counter('millrace_connections_total', 'Connections accepted.', labels);
    this.active = metrics.gauge('millrace_connections_active', 'Connections open now.', labels);
  }

  /** One more plan or session counts here. */
  retain(): void {
    this.#users++;
  }

  /** The series go with the last one that counts here. */
  release(): void {
    if (--this.#users > 0) return;
    for (const index of [
      this.requests, this.errors, this.bytesIn, this.bytesOut, this.latency, this.connections, this.active,
    ]) this.metrics.release(index);
  }
}
