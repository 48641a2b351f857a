// A job queue of BullMQ: Lua scripts, blocking pops, streams and pub/sub all at once.
import { Queue, QueueEvents, Worker, type Job } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { realKinds, startStage } from './upstream-kinds.ts';

describe.each(realKinds)('BullMQ on %s', (kind) => {
  test('producers, workers, delayed, repeated and failing jobs and events', async () => {
    await using stage = await startStage(kind);
    const connection = { host: '127.0.0.1', port: stage.port };
    await using things = new Things();
    const queue = things.add(new Queue('jobs', { connection }));
    const events = things.add(new QueueEvents('jobs', { connection }));
    const completed: string[] = [];
    const failed: string[] = [];
    events.on('completed', ({ jobId, returnvalue }) => completed.push(`${jobId}=${String(returnvalue)}`));
    events.on('failed', ({ failedReason }) => failed.push(failedReason));
    await events.waitUntilReady();

    const times = new Map<string, number[]>();
    const work = async ({ name, data }: Job): Promise<string> => {
      times.set(name, [...(times.get(name) ?? []), performance.now()]);
      if (name === 'bad') throw new Error('as it should');
      return `${name}:${(data as { n?: number }).n ?? ''}`;
    };
    for (let i = 0; i < 2; i++) things.add(new Worker('jobs', work, { connection, concurrency: 4 }));

    const added = performance.now();
    await queue.addBulk(Array.from({ length: 50 }, (_, n) => ({ name: 'plain', data: { n }, opts: { jobId: `p-${n}` } })));
    await queue.add('late', {}, { delay: 400, jobId: 'late' });
    await queue.add('bad', {}, { attempts: 2, backoff: 10 });
    await queue.upsertJobScheduler('tick', { every: 200, limit: 3 }, { name: 'tick' });

    await expect.poll(() => completed.filter((each) => each.startsWith('p-')).length, { timeout: 8000 }).toBe(50);
    expect(new Set(completed).size).toBe(completed.length);
    expect(completed).toContain('p-7=plain:7');
    await expect.poll(() => failed, { timeout: 5000 }).toEqual(['as it should']);
    expect(times.get('bad')).toHaveLength(2);
    await expect.poll(() => times.get('late')?.length, { timeout: 5000 }).toBe(1);
    expect(times.get('late')![0]! - added).toBeGreaterThanOrEqual(390);
    await expect.poll(() => times.get('tick')?.length ?? 0, { timeout: 5000 }).toBeGreaterThanOrEqual(3);
    expect(times.get('plain')).toHaveLength(50);
    expect(await queue.getJobCounts('waiting', 'active', 'failed')).toEqual({ waiting: 0, active: 0, failed: 1 });
    const errors = stage.proxy.records.filter(({ level }) => Number(level) >= 50);
    expect(errors).toEqual([]);
  });
});

interface Closable { close(): Promise<void>; on(event: 'error', then: (error: Error) => void): unknown }

class Things implements AsyncDisposable {
  readonly #list: Closable[] = [];

  add<Thing extends Closable>(thing: Thing): Thing {
    this.#list.push(thing);
    return thing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const thing of this.#list.reverse()) await thing.close();
  }
}
