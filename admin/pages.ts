// What is no resource: health for orchestrators and metrics for Prometheus.
import type { FastifyInstance } from 'fastify';
import { renderPrometheus, type MetricsSnapshot } from '../core/metrics.ts';
import { refuse } from './refusal.ts';

export const metricsPaths = ['/metrics', '/apisix/prometheus/metrics'];
export const healthPaths = ['/healthz', '/status', '/status/ready'];

export interface PagesOptions {
  readonly metrics: () => Promise<MetricsSnapshot>;
  /** Why no new clients should be sent here; null: they may. */
  readonly ready: () => string | null;
}

export function addPages(server: FastifyInstance, { metrics, ready }: PagesOptions): void {
  for (const path of metricsPaths) {
    server.get(path, async (_request, reply) => {
      const page = renderPrometheus(await metrics());
      return reply.type('text/plain; version=0.0.4; charset=utf-8').send(page);
    });
  }
  for (const path of ['/healthz', '/status']) server.get(path, async () => ({ status: 'ok' }));
  server.get('/status/ready', async () => {
    const why = ready();
    if (why !== null) throw refuse(503, why);
    return { status: 'ok' };
  });
}
