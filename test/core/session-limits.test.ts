import { expect, test } from 'vitest';
import type { Request } from '../../core/request.ts';
import { plugin, startLineProxy } from '../support/line-proxy.ts';
import { TextClient } from '../support/text-client.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { sleep } from '../support/sleep.ts';

const big = 'v'.repeat(60_000);

test('a client that does not read its answers is not read either, and gets all of them when it reads again', async () => {
  await using upstream = await startLineUpstream((line, socket) => { socket.write(`${line} ${big}\n`); });
  await using proxy = await startLineProxy({
    nodes: [upstream.port], limits: { unsent_reply_pause_bytes: 65_536, pipelined_requests: 8 },
  });
  const client = await proxy.dial();
  client.socket.pause();
  const words = Array.from({ length: 400 }, (_, i) => `get ${i}`);
  client.send(`${words.join('\n')}\n`);
  await sleep(300);
  // The kernel's buffers and what is under way, but by far not everything.
  expect(upstream.received.length).toBeLessThan(300);
  client.socket.resume();
  expect((await client.read(400)).map((line) => line.split(' ', 2).join(' '))).toEqual(words);
});

test('a client that reads nothing for too long is closed, and others go on', async () => {
  await using upstream = await startLineUpstream((line, socket) => { socket.write(`${line} ${big}\n`); });
  await using proxy = await startLineProxy({
    nodes: [upstream.port], limits: { unsent_reply_pause_bytes: 65_536, slow_client_s: 0.3 },
  });
  const [slow, quick] = [await proxy.dial(), await proxy.dial()];
  slow.socket.pause();
  slow.send(`${Array.from({ length: 400 }, (_, i) => `get ${i}`).join('\n')}\n`);
  for (let i = 0; i < 20; i++) {
    expect(await quick.ask('get q')).toContain('get q');
    await sleep(100);
  }
  await expect.poll(() => proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_SLOW"\} 1/);
  expect(await quick.ask('get q')).toContain('get q');
});

test('a node that does not read stops its clients, not the process', async () => {
  await using stuck = await startLineUpstream();
  await using well = await startLineUpstream();
  await using proxy = await startLineProxy({ nodes: [stuck.port], limits: { link_pending_bytes: 65_536 } });
  const client = await proxy.dial();
  expect(await client.ask('get a')).toBe('get a!');
  const [socket] = [...stuck.open];
  socket!.pause();
  const before = process.memoryUsage().rss;
  const line = `set a ${'x'.repeat(30_000)}\n`;
  const sent = 1000;
  for (let i = 0; i < sent; i++) client.send(line);
  await sleep(300);
  expect(client.socket.writableLength).toBeGreaterThan(0);
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  await proxy.put('/apisix/admin/stream_routes/2', {
    remote_addr: '127.0.0.2', upstream: { nodes: { [`127.0.0.1:${well.port}`]: 1 } }, protocol: { name: 'line' },
  });
  const other = await TextClient.connect(proxy.port, '127.0.0.1', '127.0.0.2');
  expect(await other.ask('get b')).toBe('get b!');
  other.socket.destroy();
  socket!.resume();
  expect(await client.read(sent, 10_000)).toHaveLength(sent);
});

test('no more requests of one client are under way than the limit says', async () => {
  let open = 0;
  let most = 0;
  await using upstream = await startLineUpstream((line, socket) => {
    most = Math.max(most, ++open);
    setTimeout(() => { open--; socket.write(`${line}!\n`); }, 5);
  });
  await using proxy = await startLineProxy({ nodes: [upstream.port], limits: { pipelined_requests: 4 } });
  const client = await proxy.dial();
  client.send(`${Array.from({ length: 50 }, (_, i) => `get ${i}`).join('\n')}\n`);
  expect(await client.read(50)).toHaveLength(50);
  expect(most).toBe(4);
});

test('more clients than the limit are told so and closed', async () => {
  await using upstream = await startLineUpstream();
  await using proxy = await startLineProxy({ nodes: [upstream.port], limits: { clients_per_listener: 2 } });
  const [a, b, c] = [await proxy.dial(), await proxy.dial(), await proxy.dial()];
  expect(await c.read(1)).toEqual(['-max number of clients reached']);
  await c.untilEnded();
  expect([await a.ask('get a'), await b.ask('get b')]).toEqual(['get a!', 'get b!']);
});

test('a giant line is taken up to the limit of a request in assembly, in pieces of any size', async () => {
  await using upstream = await startLineUpstream((_line, socket) => { socket.write(`${'y'.repeat(5_000_000)}\n`); });
  await using proxy = await startLineProxy({ nodes: [upstream.port] });
  const client = await proxy.dial();
  const [reply] = [await client.ask('get big')];
  expect(reply).toHaveLength(5_000_000);
});

test('what nobody wants to see counts in metrics all the same', async () => {
  await using upstream = await startLineUpstream();
  const seen: string[] = [];
  const watch = plugin('watch', () => ({
    select: (request: Request) => request.name === 'see',
    log(request: Request) { seen.push(request.name); },
  }));
  await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [watch], use: { watch: {} } });
  const client = await proxy.dial();
  client.send('get a\nsee b\nget c\nping\n');
  expect(await client.read(4)).toEqual(['get a!', 'see b!', 'get c!', 'pong']);
  expect(seen).toEqual(['see']);
  expect(await proxy.metrics()).toMatch(/millrace_requests_total\{.*route="1".*\} 4/);
});
