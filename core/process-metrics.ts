// What the process and each worker's event loop cost, as the Prometheus client libraries name it.
import { monitorEventLoopDelay, performance, type EventLoopUtilization } from 'node:perf_hooks';
import { availableParallelism } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { droppedRecords } from './log-file.ts';
import type { Metrics } from './metrics.ts';
import { residentMemory } from './resident-memory.ts';

/** Milliseconds between two looks at the event loop. */
const interval = 20;

export interface ProcessMetrics {
  /** Reads everything anew; call before `snapshot`. */
  update(): void;
  close(): void;
}

/**
 * Registers them. What belongs to the process (memory, CPU) is the same in every worker and merges by `max`;
 * heap and event loop are each worker's own.
 */
export function watchProcess(metrics: Metrics): ProcessMetrics {
  const max = { merge: 'max' } as const;
  const gauge = (name: string, help: string): number => metrics.gauge(name, help, {}, max);
  const startTime = gauge('process_start_time_seconds', 'When the process began, seconds since 1970.');
  const resident = gauge('process_resident_memory_bytes', 'Memory of the process in RAM.');
  const cpu = metrics.counter('process_cpu_seconds_total', 'User and system CPU time used.', {}, max);
  const heap = metrics.gauge('nodejs_heap_size_used_bytes', 'Heap in use, all workers.');
  const external = metrics.gauge('nodejs_external_memory_bytes', 'Buffers outside of the heap, all workers.');
  const lag = gauge('nodejs_eventloop_lag_seconds', 'Mean event loop delay since the last reading.');
  const worst = gauge('nodejs_eventloop_lag_max_seconds', 'Longest event loop delay since the last reading.');
  const busy = gauge('nodejs_eventloop_utilization', 'Part of the time the event loop worked.');
  const lost = metrics.counter('millrace_log_dropped_total', 'Log records that could not be written, all workers.');
  const cores = gauge('millrace_cores', 'CPU cores that the process may use.');
  const delay = monitorEventLoopDelay({ resolution: interval });
  delay.enable();
  let utilization: EventLoopUtilization = performance.eventLoopUtilization();
  metrics.set(startTime, (Date.now() - process.uptime() * 1000) / 1000);
  metrics.set(cores, availableParallelism());

  const update = (): void => {
    const { used_heap_size: heapUsed, external_memory: outside } = getHeapStatistics();
    const { user, system } = process.cpuUsage();
    metrics.set(resident, residentMemory());
    metrics.set(cpu, (user + system) / 1e6);
    metrics.set(lost, droppedRecords());
    metrics.set(heap, heapUsed);
    metrics.set(external, outside);
    metrics.set(lag, beyond(delay.mean));
    metrics.set(worst, delay.count === 0 ? 0 : beyond(delay.max));
    delay.reset();
    const now = performance.eventLoopUtilization();
    metrics.set(busy, performance.eventLoopUtilization(now, utilization).utilization);
    utilization = now;
  };
  return { update, close: () => delay.disable() };
}

// The histogram counts the interval itself; what is beyond it is delay. It has no mean before its first look.
function beyond(nanoseconds: number): number {
  return Number.isFinite(nanoseconds) ? Math.max(0, (nanoseconds / 1e6 - interval) / 1000) : 0;
}
