// Clients of a Millrace with several workers: the kernel deals them out, their ids tell to whom.
import { expect } from 'vitest';
import type { MillraceProcess } from './millrace-process.ts';
import type { RespClient } from './resp-client.ts';

/** At least one client of each worker, by the worker's number. */
export async function clientsByWorker(millrace: MillraceProcess, workers: number): Promise<Map<number, RespClient[]>> {
  const byWorker = new Map<number, RespClient[]>();
  for (let i = 0; i < 60 && (byWorker.size < workers || i < 20); i++) {
    const client = await millrace.connect();
    const worker = (Number(await client.command('CLIENT', 'ID')) - 1) % workers;
    byWorker.set(worker, [...(byWorker.get(worker) ?? []), client]);
  }
  expect(byWorker.size).toBe(workers);
  return byWorker;
}
