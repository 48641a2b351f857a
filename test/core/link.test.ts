import { expect, test } from 'vitest';
import type { Request } from '../../core/request.ts';
import { plugin, startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';
import { sleep } from '../support/sleep.ts';

test('a reply that comes after the timeout is dropped in its place and reaches nobody', async () => {
  let answer = (): void => {};
  await using upstream = await startLineUpstream((line, socket) => {
    if (line === 'get late') answer = () => { socket.write(`${line}!\n`); };
    else socket.write(`${line}!\n`);
  });
  await using proxy = await startLineProxy({
    nodes: [upstream.port], upstreamConf: { timeout: { read: 0.5 } },
  });
  const [one, two] = [await proxy.dial(), await proxy.dial()];
  expect(await one.ask('get late')).toBe('-UPSTREAM_TIMEOUT upstream timeout');
  answer();
  expect([await two.ask('get b'), await one.ask('get c')]).toEqual(['get b!', 'get c!']);
  await sleep(20);
  expect([one.lines, two.lines]).toEqual([[], []]);
  expect(upstream.received).toEqual(['get late', 'get b', 'get c']);
});

test('replies that come in order after a timeout find their requests', async () => {
  const held: (() => void)[] = [];
  await using upstream = await startLineUpstream((line, socket) => {
    held.push(() => { socket.write(`${line}!\n`); });
  });
  await using proxy = await startLineProxy({
    nodes: [upstream.port], upstreamConf: { timeout: { read: 1 } },
  });
  const [one, two] = [await proxy.dial(), await proxy.dial()];
  one.send('get a\nget b\n');
  await upstream.wait(2);
  expect(await one.read(2)).toEqual(Array.from({ length: 2 }, () => '-UPSTREAM_TIMEOUT upstream timeout'));
  two.send('get c\n');
  one.send('get d\n');
  await upstream.wait(4);
  for (const write of held) write();
  expect([await two.read(1), await one.read(1)]).toEqual([['get c!'], ['get d!']]);
  expect(upstream.accepted).toBe(1);
});

test('a node that never answers again loses its link, and the next request gets another one', async () => {
  await using upstream = await startLineUpstream(() => {});
  await using proxy = await startLineProxy({
    nodes: [upstream.port], upstreamConf: { timeout: { read: 0.15 } },
  });
  const client = await proxy.dial();
  expect(await client.ask('get a')).toBe('-UPSTREAM_TIMEOUT upstream timeout');
  await expect.poll(() => upstream.open.size).toBe(0);
  upstream.answer = (line, socket) => { socket.write(`${line}!\n`); };
  // The node was silent: it is left out until a probe reaches it.
  let answer = '';
  do answer = await client.ask('get b'); while (answer.startsWith('-NO_NODE '));
  expect(answer).toBe('get b!');
});

test('everything under way on a link that breaks is answered with the cause, in order', async () => {
  await using upstream = await startLineUpstream((line, socket) => {
    if (line === 'get 0') socket.write('get 0!\n');
    if (line === 'die') socket.destroy();
  });
  await using proxy = await startLineProxy({ nodes: [upstream.port] });
  const [one, two] = [await proxy.dial(), await proxy.dial()];
  one.send('get 0\nget 1\nping\n');
  await upstream.wait(2);
  two.send('get x\n');
  await upstream.wait(3);
  one.send('die\n');
  const [first, ...rest] = await one.read(4);
  expect(first).toBe('get 0!');
  const failure = '-UPSTREAM_CLOSED upstream closed the connection; the command may have been executed';
  expect(rest).toEqual([failure, 'pong', failure]);
  expect((await two.read(1))[0]).toContain('UPSTREAM_CLOSED');
  upstream.answer = (line, socket) => { socket.write(`${line}!\n`); };
  expect([await one.ask('get 2'), await two.ask('get y')]).toEqual(['get 2!', 'get y!']);
});

test('a request that was written is not sent again', async () => {
  await using dying = await startLineUpstream((_line, socket) => { socket.destroy(); });
  await using well = await startLineUpstream();
  await using proxy = await startLineProxy({ nodes: [dying.port, well.port] });
  const clients = await Promise.all([1, 2].map(() => proxy.dial()));
  const answers = await Promise.all(clients.map((client, i) => client.ask(`incr ${i}`)));
  const executed = [...dying.received, ...well.received].toSorted();
  expect(executed).toEqual(['incr 0', 'incr 1']);
  expect(answers.filter((answer) => answer.startsWith('-UPSTREAM_CLOSED')))
    .toHaveLength(dying.received.length);
});

test('what was not written yet goes to the next node, in order and with the right address in the log', async () => {
  const [dead, alsoDead] = [await freePort(), await freePort()];
  await using well = await startLineUpstream();
  const addresses: string[] = [];
  const watch = plugin('watch', () => ({
    log(request: Request) { addresses.push(request.upstreamAddress); },
  }));
  await using proxy = await startLineProxy({
    nodes: [dead, alsoDead, well.port], plugins: [watch], use: { watch: {} },
  });
  for (let i = 0; i < 6; i++) {
    const client = await proxy.dial();
    client.send(`get ${i}\nget +${i}\nping\n`);
    expect(await client.read(3)).toEqual([`get ${i}!`, `get +${i}!`, 'pong']);
  }
  expect(addresses.filter((address) => address !== ''))
    .toEqual(Array.from({ length: 12 }, () => `127.0.0.1:${well.port}`));
});

test('with retries 0, and when nobody is left, the client is told', async () => {
  const dead = await freePort();
  await using well = await startLineUpstream();
  await using proxy = await startLineProxy({ nodes: [dead] });
  const client = await proxy.dial();
  expect(await client.ask('get a')).toBe('-CONNECT_FAILED failed to connect to upstream');
  expect(await client.ask('get b')).toMatch(/^-(NO_NODE|CONNECT_FAILED) /);
  await proxy.route({ upstream: { nodes: [{ host: '127.0.0.1', port: dead, weight: 1000 }, { host: '127.0.0.1', port: well.port, weight: 1 }], retries: 0 } });
  await sleep(100);
  const answers = new Set<string>();
  for (let i = 0; i < 10; i++) answers.add((await (await proxy.dial()).ask('get c')).split(' ')[0]!);
  expect([...answers].every((answer) => answer === '-CONNECT_FAILED' || answer === 'get')).toBe(true);
  expect(answers).toContain('get');
});

test('a reply that nobody asked for ends the link, and is kept for nobody', async () => {
  await using upstream = await startLineUpstream((line, socket) => { socket.write(`${line}!\nextra\n`); });
  await using proxy = await startLineProxy({ nodes: [upstream.port] });
  const client = await proxy.dial();
  expect(await client.ask('get a')).toBe('get a!');
  await expect.poll(() => upstream.open.size).toBe(0);
  expect(await client.ask('get b')).toBe('get b!');
  expect(upstream.accepted).toBe(2);
});

test('a reply in slivers, and many in one piece, are framed the same', async () => {
  await using upstream = await startLineUpstream((line, socket) => {
    if (line !== 'end') return;
    const text = Array.from({ length: 50 }, (_, i) => `reply ${i}\n`).join('');
    for (let i = 0; i < text.length; i += 7) socket.write(text.slice(i, i + 7));
  });
  await using proxy = await startLineProxy({ nodes: [upstream.port] });
  const client = await proxy.dial();
  client.send(`${Array.from({ length: 49 }, () => 'get').join('\n')}\nend\n`);
  expect(await client.read(50)).toEqual(Array.from({ length: 50 }, (_, i) => `reply ${i}`));
});

test('a node that accepts connections and says nothing does not hold the clients of another route up', async () => {
  await using stuck = await startLineUpstream(() => {});
  await using well = await startLineUpstream();
  await using proxy = await startLineProxy({ nodes: [stuck.port] });
  const waiting = await proxy.dial();
  waiting.send('get a\n');
  await stuck.wait(1);
  await proxy.route({ upstream: { nodes: { [`127.0.0.1:${well.port}`]: 1 } } });
  expect(await (await proxy.dial()).ask('get b')).toBe('get b!');
  expect(waiting.lines).toEqual([]);
});
