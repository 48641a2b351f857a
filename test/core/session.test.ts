import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../core/errors.ts';
import type { Request } from '../../core/request.ts';
import { plugin, startLineProxy } from '../support/line-proxy.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { sleep } from '../support/sleep.ts';

/** `refuse …` is refused. */
const rules = plugin('rules', () => ({
  request(request: Request) {
    const word = request.keyCount > 0 ? request.key(0).toString() : '';
    if (request.name === 'refuse') request.settle(new ProxyError('DENIED', `no ${word}`));
  },
}));

describe('order', () => {
  test('replies leave in the order of the requests, however they are sent', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port] });
    const client = await proxy.dial();
    const words = Array.from({ length: 500 }, (_, i) => `get ${i}`);
    client.send(`${words.join('\n')}\n`);
    expect(await client.read(500)).toEqual(words.map((word) => `${word}!`));
  });

  test('a request that is cut at every byte is framed once', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port] });
    const client = await proxy.dial();
    for (const byte of 'get a\nping\nget b\n') {
      client.send(byte);
      await sleep(1);
    }
    expect(await client.read(3)).toEqual(['get a!', 'pong', 'get b!']);
    expect(upstream.received).toEqual(['get a', 'get b']);
  });

  test('an answer of our own waits until older ones have left', async () => {
    const held: (() => void)[] = [];
    await using upstream = await startLineUpstream((line, socket) => { held.push(() => socket.write(`${line}!\n`)); });
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [rules], use: { rules: {} },
    });
    const client = await proxy.dial();
    client.send('get a\nping\nrefuse b\nget c\n');
    await upstream.wait(2);
    await sleep(20);
    expect(client.lines).toEqual([]);
    for (const answer of held) answer();
    expect(await client.read(4)).toEqual(['get a!', 'pong', '-DENIED no b', 'get c!']);
  });

  test('a delayed request holds back those behind it, and nobody else', async () => {
    const [arrived, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const gate = plugin('gate', () => ({
      maxWait: 10_000,
      request(request: Request) {
        if (request.name !== 'slow') return undefined;
        arrived.resolve();
        return released.promise;
      },
    }));
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port], plugins: [gate], use: { gate: {} } });
    const [slow, quick] = [await proxy.dial(), await proxy.dial()];
    slow.send('slow a\nget b\n');
    await arrived.promise;
    expect(await quick.ask('get c')).toBe('get c!');
    await sleep(20);
    expect([upstream.received, slow.lines]).toEqual([['get c'], []]);
    released.resolve();
    expect(await slow.read(2)).toEqual(['slow a!', 'get b!']);
    expect(upstream.received).toEqual(['get c', 'slow a', 'get b']);
  });

  test('requests of many clients on one link are answered to those who asked', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port] });
    const clients = await Promise.all(Array.from({ length: 20 }, () => proxy.dial()));
    await Promise.all(clients.map(async (client, c) => {
      for (let round = 0; round < 20; round++) {
        const words = Array.from({ length: round + 1 }, (_, i) => `c${c} ${round} ${i}`);
        client.send(`${words.join('\n')}\n`);
        expect(await client.read(words.length)).toEqual(words.map((word) => `${word}!`));
      }
    }));
    expect(upstream.accepted).toBe(1);
  });
});

describe('ends', () => {
  test('a client that half-closes gets everything it asked for, then the end', async () => {
    await using upstream = await startLineUpstream((line, socket) => { setTimeout(() => socket.write(`${line}!\n`), 30); });
    await using proxy = await startLineProxy({ nodes: [upstream.port] });
    const client = await proxy.dial();
    client.send('get a\nget b\nping\n');
    client.end();
    expect(await client.read(3)).toEqual(['get a!', 'get b!', 'pong']);
    await client.untilEnded();
  });

  test('a client that leaves with requests under way harms nobody, and they are logged as unfinished', async () => {
    await using upstream = await startLineUpstream(() => {});
    const logged: [string, boolean][] = [];
    const watch = plugin('watch', () => ({
      log(request: Request) { logged.push([request.key(0).toString(), request.outcome === null]); },
    }));
    await using proxy = await startLineProxy({
      nodes: [upstream.port], plugins: [watch], use: { watch: {} },
    });
    const [gone, other] = [await proxy.dial(), await proxy.dial()];
    gone.send('get a\nget b\n');
    await upstream.wait(2);
    other.send('get c\n');
    await upstream.wait(3);
    gone.socket.resetAndDestroy();
    await expect.poll(() => logged).toEqual([['a', true], ['b', true]]);
    const [socket] = [...upstream.open];
    socket!.write('get a!\nget b!\nget c!\n');
    expect(await other.read(1)).toEqual(['get c!']);
    expect(logged).toEqual([['a', true], ['b', true], ['c', false]]);
  });

  test('what is no request is answered in its place, then the connection ends with a reason', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port] });
    const client = await proxy.dial();
    client.send(`get a\n${'x'.repeat(70_000)}\nget b\n`);
    expect(await client.read(2)).toEqual(['get a!', '-PROTOCOL_ERROR line: expected at most 65536 bytes']);
    await client.untilEnded();
    expect(upstream.received).toEqual(['get a']);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="PROTOCOL_ERROR"\} 1/);
  });

  test('a request that is never finished ends the connection', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({ nodes: [upstream.port], limits: { request_timeout_s: 0.2 } });
    const client = await proxy.dial();
    client.send('get');
    await client.untilEnded(3000);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_REQUEST_TIMEOUT"\} 1/);
  });

  test('an idle client is closed when that is asked for', async () => {
    await using upstream = await startLineUpstream();
    await using proxy = await startLineProxy({
      nodes: [upstream.port], limits: { client_idle_timeout_s: 0.2 },
    });
    const client = await proxy.dial();
    expect(await client.ask('get a')).toBe('get a!');
    await client.untilEnded(3000);
    expect(await proxy.metrics()).toMatch(/connections_closed_total\{reason="CLIENT_IDLE"\} 1/);
  });
});
