// The watched resources file of a running process, alone and beside the store.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bestTimes } from '../support/best-time.ts';
import { startMillrace, type MillraceProcess, type ProcessOptions } from '../support/millrace-process.ts';
import { RespError } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';

const route = (id: string, text: string, more = ''): string => `
  - id: ${id}
    upstream: { type: memory }
    protocol: { name: redis, conf: { faults: [{ commands: [ping], error: "${text}" }] } }
${more}`;
const file = (...routes: string[]): string => `stream_routes:${routes.join('')}#END\n`;

const start = (text: string | null, options: ProcessOptions = {}): Promise<MillraceProcess> => startMillrace({
  ...options,
  settings: { resources: 'resources.yaml', ...options.settings },
  files: { ...(text === null ? {} : { 'resources.yaml': text }), ...options.files },
});

async function ping(millrace: MillraceProcess): Promise<string> {
  const client = await millrace.connect();
  const reply = await client.command('PING');
  await client.close();
  return reply instanceof RespError ? reply.text.replace('ERR ', '') : String(reply);
}
async function until(millrace: MillraceProcess, text: string): Promise<number> {
  const began = performance.now();
  await expect.poll(() => ping(millrace), { timeout: 10_000, interval: 20 }).toContain(text);
  return performance.now() - began;
}
const said = (millrace: MillraceProcess, code: string): string =>
  millrace.records().filter((each) => each['code'] === code).map((each) => String(each['msg'])).join('\n');

describe('a change of the file', () => {
  test('is live in under a second, on open connections too, whether written in place or renamed over', async () => {
    await using millrace = await start(file(route('1', 'v0')));
    const open = await millrace.connect();
    expect(await ping(millrace)).toBe('v0');
    let last = 0;
    // Of each way the best: the machine may be busy, the mechanism must not be slow.
    const times = await bestTimes(1000, async () => {
      const n = ++last;
      millrace.write('resources.yaml', file(route('1', `in place ${n}`)));
      const inPlace = await until(millrace, `in place ${n}`);
      millrace.write('new.yaml', file(route('1', `renamed ${n}`)));
      renameSync(join(millrace.folder, 'new.yaml'), join(millrace.folder, 'resources.yaml'));
      const renamed = await until(millrace, `renamed ${n}`);
      // Again, on what the first round left behind.
      millrace.write('resources.yaml', file(route('1', `again ${n}`)));
      return [inPlace, renamed, await until(millrace, `again ${n}`)];
    });
    expect(Math.max(...times)).toBeLessThan(1000);
    expect(await open.command('PING')).toEqual(new RespError(`ERR again ${last}`));
  });

  test('half a file changes nothing until the rest has come', async () => {
    await using millrace = await start(file(route('1', 'whole'), route('2', 'other', '    remote_addr: 127.0.0.9\n')));
    const next = file(route('1', 'next'), route('2', 'other', '    remote_addr: 127.0.0.8\n'));
    for (const part of [0.3, 0.6, 0.9]) {
      millrace.write('resources.yaml', next.slice(0, Math.floor(next.length * part)));
      await sleep(350);
      expect(await ping(millrace)).toBe('whole');
      expect((await millrace.call('GET', '/apisix/admin/stream_routes/2')).body.value.remote_addr).toBe('127.0.0.9');
    }
    millrace.write('resources.yaml', next);
    await until(millrace, 'next');
  });

  test('a wrong item keeps its last good version and is reported with its place; the others go on', async () => {
    await using millrace = await start(file(route('1', 'good'), route('2', 'second', '    remote_addr: 127.0.0.9\n')));
    millrace.write('resources.yaml', file(
      '\n  - id: 1\n    upstream: { type: memory, nodes: 7 }\n    protocol: { name: redis }\n',
      route('2', 'second', '    remote_addr: 127.0.0.8\n')));
    await expect.poll(async () => (await millrace.call('GET', '/apisix/admin/stream_routes/2')).body.value.remote_addr,
      { timeout: 8000 }).toBe('127.0.0.8');
    expect(await ping(millrace)).toBe('good');
    expect(said(millrace, 'CONFIG_INVALID')).toMatch(/resources\.yaml:\d+:\d+.*upstream\.nodes/);
    millrace.write('resources.yaml', file(route('1', 'repaired')));
    await until(millrace, 'repaired');
  });

  test('deleting the file changes nothing; the file that comes back is read', async () => {
    await using millrace = await start(file(route('1', 'kept')));
    rmSync(join(millrace.folder, 'resources.yaml'));
    await expect.poll(() => said(millrace, 'CONFIG_UNREADABLE'), { timeout: 8000 }).toContain('last good configuration stays');
    expect(await ping(millrace)).toBe('kept');
    millrace.write('resources.yaml', file(route('1', 'back')));
    await until(millrace, 'back');
  });

  test('a file that is not there yet is waited for', async () => {
    await using millrace = await start(null);
    expect(await ping(millrace)).toBe('PONG');
    millrace.write('resources.yaml', file(route('1', 'arrived')));
    await until(millrace, 'arrived');
  });

  test('a route that left the file is gone; requests under way are not cut', async () => {
    await using millrace = await start(file(route('1', 'first')));
    const blocked = await millrace.connect();
    // In one write: when the first is answered the second is under way.
    blocked.send('ECHO here\r\nBLPOP q 10\r\n');
    expect(await blocked.read(1)).toEqual(['here']);
    millrace.write('resources.yaml', 'stream_routes: []\n#END\n');
    await until(millrace, 'PONG');
    expect(await (await millrace.connect()).command('RPUSH', 'q', 'late')).toBe(1);
    expect(await blocked.read(1)).toEqual([['q', 'late']]);
  });

  test('ten changes a second under load: nothing dropped, the last one holds', async () => {
    await using millrace = await start(file(route('1', 'v0')), { settings: { workers: 2 } });
    const clients = await Promise.all(Array.from({ length: 6 }, () => millrace.connect()));
    let running = true;
    const load = clients.map(async (client, i) => {
      for (let n = 0; running; n++) {
        expect(await client.pipeline([['SET', `k${i}`, String(n)], ['GET', `k${i}`]])).toEqual(['OK', String(n)]);
      }
    });
    for (let i = 1; i <= 20; i++) {
      millrace.write('resources.yaml', file(route('1', `v${i}.`)));
      await sleep(100);
    }
    await until(millrace, 'v20.');
    running = false;
    await Promise.all(load);
  });
});

describe('file and store together', () => {
  test('the file wins, the shadowed resource is reported and comes back when the file lets go', async () => {
    await using millrace = await start('stream_routes: []\n#END\n');
    await millrace.put('/apisix/admin/stream_routes/1', fault('of the store'));
    expect(await ping(millrace)).toBe('of the store');
    millrace.write('resources.yaml', file(route('1', 'of the file')));
    await until(millrace, 'of the file');
    expect(said(millrace, 'CONFIG_SHADOWED')).toContain('stream_routes 1 is in the store and in the file; the file wins');
    const refused = await millrace.call('PUT', '/apisix/admin/stream_routes/1', fault('again'));
    expect(refused.status).toBe(409);
    expect(refused.body.error_msg).toContain('resources file');
    await millrace.put('/apisix/admin/stream_routes/2', { ...fault('beside'), remote_addr: '127.0.0.9' });
    millrace.write('resources.yaml', 'stream_routes: []\n#END\n');
    await until(millrace, 'of the store');
  });

  test('after a restart everything stored is there and is put to use', async () => {
    const first = await start('upstreams:\n  - id: u\n    type: memory\n#END\n');
    const { folder } = first;
    await first.put('/apisix/admin/stream_routes/1', { ...fault('stored'), upstream: undefined, upstream_id: 'u' });
    const before = (await first.call('GET', '/apisix/admin/stream_routes/1')).body;
    // Without a chance to tidy up.
    first.signal('SIGKILL');
    await first.exited;
    {
      await using second = await startMillrace({ folder, settings: { resources: 'resources.yaml' } });
      expect((await second.call('GET', '/apisix/admin/stream_routes/1')).body).toEqual(before);
      expect(await ping(second)).toBe('stored');
    }
    await first[Symbol.asyncDispose]();
  });
});

describe('signals', () => {
  test('SIGHUP reads the file again and reopens the log', async () => {
    await using millrace = await start(file(route('1', 'one')), { settings: { workers: 2 } });
    renameSync(join(millrace.folder, 'millrace.log'), join(millrace.folder, 'old.log'));
    millrace.signal('SIGHUP');
    writeFileSync(join(millrace.folder, 'resources.yaml'), file(route('1', 'two')));
    await until(millrace, 'two');
    await expect.poll(() => millrace.records().length, { timeout: 8000 }).toBeGreaterThan(0);
    expect(await ping(millrace)).toBe('two');
  });

  test.each([1, 2])('SIGTERM with %i workers: what was received is answered, new clients are refused, exit 0', async (workers) => {
    await using millrace = await startMillrace({ settings: { workers, drain_timeout_s: 10 } });
    await millrace.put('/apisix/admin/stream_routes/1', {
      upstream: { type: 'memory' }, protocol: { name: 'redis' },
      plugins: { 'fault-injection': { delay: { duration: 2 }, commands: ['get'] } },
    });
    const clients = await Promise.all(Array.from({ length: 10 }, () => millrace.connect()));
    const idle = await millrace.connect();
    expect(await idle.command('SET', 'a', 'b')).toBe('OK');
    const answers = clients.map((client) => client.command('GET', 'a'));
    const delayed = async (): Promise<number> =>
      Number(/^millrace_fault_injection_delays_total(?:\{.*\})? (\d+)$/m.exec(await millrace.metrics())?.[1]);
    await expect.poll(delayed).toBe(10);
    millrace.signal('SIGTERM');
    await idle.untilEnded();
    // The workers stop accepting one by one.
    const connecting = (): Promise<string> => millrace.connect().then(() => 'accepted', (error: Error) => error.message);
    await expect.poll(connecting).toContain('ECONNREFUSED');
    expect(await Promise.all(answers)).toEqual(clients.map(() => 'b'));
    expect(await millrace.exited).toBe(0);
  });

  test('SIGTERM: a blocked client keeps its place until the drain limit, then all ends with exit 0', async () => {
    await using millrace = await startMillrace({ settings: { drain_timeout_s: 1 } });
    const blocked = await millrace.connect();
    blocked.send('ECHO here\r\nBLPOP never 0\r\n');
    expect(await blocked.read(1)).toEqual(['here']);
    const began = performance.now();
    millrace.signal('SIGTERM');
    await blocked.untilEnded();
    expect(performance.now() - began).toBeGreaterThan(800);
    expect(await millrace.exited).toBe(0);
    expect(performance.now() - began).toBeLessThan(6000);
  });
});

function fault(text: string): Record<string, unknown> {
  return { upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: text }] } } };
}
