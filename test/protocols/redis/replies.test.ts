// D1–D5, D9, D12, D13, D15, P8, P9, P11, P12: a reply reaches the request that caused it, or nobody. The integrity mode
// of D6 is not built.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEvilUpstream, type EvilUpstream } from '../../support/evil-upstream.ts';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRecordingUpstream } from '../../support/recording-upstream.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand, RespError, type Value } from '../../support/resp.ts';
import { sleep } from '../../support/sleep.ts';

const text = (value: Value | undefined): string => (value instanceof RespError ? value.text : JSON.stringify(value));

describe('an upstream that misbehaves', () => {
  /** A proxy whose replies may take 300 ms. */
  async function stage(options: Parameters<typeof startEvilUpstream>[0] = {}): Promise<{ evil: EvilUpstream; proxy: Proxy } & AsyncDisposable> {
    const evil = await startEvilUpstream(options);
    const proxy = await startProxy({
      route: { upstream: { nodes: { [`127.0.0.1:${evil.port}`]: 1 }, timeout: { connect: 1, send: 1, read: 0.3 } } },
    });
    return {
      evil, proxy,
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await evil.close();
      },
    };
  }

  /**
   * Asks until three answers were right. The link is closed at the latest when the next reply is due, and its node may
   * be left out for a moment: until then there are errors, never a wrong value.
   */
  async function settled(proxy: Proxy, name: string, client?: RespClient): Promise<number> {
    client ??= await proxy.connect();
    let good = 0;
    for (let i = 0; i < 100 && good < 3; i++) {
      const answer = await client.command('GET', `${name}${i}`);
      if (answer === `${name}${i}`) good++;
      else expect(text(answer)).toMatch(/millrace: /);
      if (good === 0) await sleep(40);
    }
    return good;
  }

  test('a reply that comes after the timeout is dropped in its place (D1)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    const other = await on.proxy.connect();
    client.send(encodeCommand(['GET', 'evil:late=600:a']));
    await sleep(20);
    other.send(encodeCommand(['GET', 'b']));
    expect(text((await client.read(1))[0])).toMatch(/timeout/);
    // Behind it on the same link; it waited as long and got its own answer or a timeout, never the other's.
    const [second] = await other.read(1);
    expect(second === 'b' || /timeout/.test(text(second))).toBe(true);
    await sleep(500);
    expect(await settled(on.proxy, 'c', client)).toBe(3);
    expect(await settled(on.proxy, 'd', other)).toBe(3);
  });

  test('a client that goes leaves its replies to nobody (D2)', async () => {
    await using on = await stage();
    for (let round = 0; round < 20; round++) {
      const going = await on.proxy.connect();
      const staying = await on.proxy.connect();
      going.send(Buffer.concat(Array.from({ length: 50 }, (_, i) => encodeCommand(['GET', `gone${i}`]))));
      const kept = staying.pipeline(Array.from({ length: 50 }, (_, i) => ['GET', `kept${i}`]));
      if (round % 2 === 0) going.reset();
      else await going.close();
      expect(await kept).toEqual(Array.from({ length: 50 }, (_, i) => `kept${i}`));
      await staying.close();
    }
    expect(on.evil.connections).toBeLessThanOrEqual(2);
  });

  test('an answer before the request is complete belongs to that request (D3)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    const value = Buffer.alloc(3 * 1024 * 1024, 'x');
    const bytes = encodeCommand(['SET', 'evil:early:k', value]);
    client.send(bytes.subarray(0, 2 * 1024 * 1024));
    await sleep(60);
    client.send(Buffer.concat([bytes.subarray(2 * 1024 * 1024), encodeCommand(['GET', 'after'])]));
    const replies = await client.read(2).catch(() => client.ended ?? '');
    if (Array.isArray(replies)) {
      expect(text(replies[0])).toMatch(/too big|millrace/);
      expect(replies[1]).toBe('after');
    } else {
      expect(replies).not.toBe('');
    }
    const next = await on.proxy.connect();
    expect(await next.command('GET', 'fresh')).toBe('fresh');
  });

  // While others wait on the same link the surplus would be taken for theirs: that is what D6 would find.
  test.each(['twice', 'extra'] as const)('one reply too many on a link at rest closes it and reaches nobody (D4, %s)', async (kind) => {
    await using on = await stage();
    const clients = await Promise.all(Array.from({ length: 5 }, () => on.proxy.connect()));
    for (let round = 0; round < 20; round++) {
      const key = `evil:${kind}:${round}`;
      const reply = await clients[0]!.command('GET', key);
      expect(reply === key || /millrace/.test(text(reply))).toBe(true);
      await sleep(20);
      const calm = await Promise.all(clients.map((client, i) => client.command('GET', `k${round}-${i}`)));
      // A node that failed often is left out for a moment.
      for (const [i, answer] of calm.entries()) {
        if (!(answer instanceof RespError)) expect(answer).toBe(`k${round}-${i}`);
        else expect(answer.text).toMatch(/millrace: no healthy upstream/);
      }
    }
  });

  test('one reply too few shifts no answer past the deadline (D5)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    // The last request of the link gets no reply any more: its deadline closes the link.
    const reply = await client.command('GET', 'evil:skip:a');
    expect(text(reply)).toMatch(/timeout/);
    expect(await settled(on.proxy, 'after')).toBe(3);
  });

  test.each([
    'type', 'long', 'short', 'deep', 'half-fin', 'half-rst', 'half-silence', 'fin', 'rst', 'never',
  ] as const)('garbage, halves and silence are a clear error or a close, and spoil nothing else (P11, %s)', async (kind) => {
    await using on = await stage();
    const victim = await on.proxy.connect();
    victim.send(encodeCommand(['GET', `evil:${kind}:key`]));
    const reply = await victim.read(1).then(([value]) => text(value), () => 'closed');
    // A short bulk is a valid prefix with rubbish behind it: what follows the prefix is never a reply.
    expect(reply).toMatch(/millrace: |closed/);
    expect(await settled(on.proxy, 'good')).toBe(3);
  });

  test('half a large reply, then a reset: the client sees the end, never an error inside (D15)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    await client.command('SET', 'evil:half-rst:big', Buffer.alloc(1024 * 1024, 'x'));
    const fresh = await on.proxy.connect();
    await fresh.command('SET', 'other', '1');
    fresh.send(encodeCommand(['GET', 'evil:half-rst:big']));
    const bytes = await fresh.readRaw({ idle: 500 });
    expect(fresh.ended).not.toBeNull();
    expect(bytes.length).toBeGreaterThan(100_000);
    expect(bytes.includes('-ERR')).toBe(false);
  });

  test('pushes nobody asked for are no replies (S6)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    for (let i = 0; i < 5; i++) {
      const reply = text(await client.command('GET', `evil:push:${i}`));
      expect(reply === `"evil:push:${i}"` || /millrace/.test(reply)).toBe(true);
      expect(await client.command('GET', `k${i}`)).toBe(`k${i}`);
    }
  });

  test('control characters in an error text of the server pass as bytes of one line', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    client.send(encodeCommand(['GET', 'evil:error:k']));
    const bytes = await client.readRaw({ idle: 100 });
    // What follows the line end is a reply of its own, asked for by nobody: the link closes, the client gets one reply.
    expect(bytes.toString('latin1').split('\r\n').length - 1).toBe(1);
    expect(await client.command('GET', 'k')).toBe('k');
  });

  test('a command that may have run is not sent again (D9)', async () => {
    await using on = await stage();
    const client = await on.proxy.connect();
    for (let i = 0; i < 20; i++) {
      const reply = text(await client.command('INCR', `evil:${i % 2 === 0 ? 'fin' : 'rst'}:${i}`));
      expect(reply).toMatch(/may have been executed/);
    }
    for (const [command, times] of on.evil.executed) if (command.startsWith('incr')) expect([command, times]).toEqual([command, 1]);
    expect([...on.evil.executed.keys()].filter((name) => name.startsWith('incr')).length).toBe(20);
  });
});

describe('odd clients of a real server', () => {
  let redis: RedisServer;
  let proxy: Proxy;
  beforeAll(async () => {
    redis = await startRedis();
    proxy = await startProxy({ upstream: redis.port });
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await redis.stop();
  });

  test('after FIN everything that was received is answered (D12)', async () => {
    const client = await proxy.connect();
    client.send(Buffer.concat(Array.from({ length: 1000 }, (_, i) => encodeCommand(['ECHO', `e${i}`]))));
    client.end();
    expect(await client.read(1000)).toEqual(Array.from({ length: 1000 }, (_, i) => `e${i}`));
    expect(await client.untilEnded()).toBe('end');
  });

  test("a client's own bytes cannot forge a reply (D13)", async () => {
    const client = await proxy.connect();
    client.send(encodeCommand(['FO\r\n+OK\r\nO', 'a\r\n:1']));
    client.send(encodeCommand(['PING']));
    const [error, pong] = await client.read(2);
    expect(text(error)).toBe("ERR unknown command 'FO  +OK  O', with args beginning with: 'a  :1' ");
    expect(pong).toBe('PONG');
  });

  test('HTTP executes nothing (P8)', async () => {
    for (const request of [
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nSET http:hit 1\r\n',
      'GET / HTTP/1.1\r\nHost: x\r\n\r\nSET http:hit 1\r\n', 'PUT /x HTTP/1.1\r\nhost: x\r\n\r\nSET http:hit 1\r\n',
      '*1\r\n$4\r\nPOST\r\n*3\r\n$3\r\nSET\r\n$8\r\nhttp:hit\r\n$1\r\n1\r\n',
    ]) {
      const client = await proxy.connect();
      client.send(request);
      await client.untilEnded();
    }
    const client = await proxy.connect();
    expect(await client.command('EXISTS', 'http:hit')).toBe(0);
  });

  test('2,000 connections of garbage end, and the log stays short (P9)', async () => {
    const hello = Buffer.from('16030100f5010000f10303deadbeef', 'hex');
    const kinds = [hello, Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n*x\r\n'), Buffer.alloc(70_000, 0xff), Buffer.from('*9999999999\r\n')];
    const written = (): number => proxy.records.filter(({ level }) => level !== 20 && level !== 'debug').length;
    const before = written();
    const most = 400;
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: most }, async (_, i) => {
        const client = await RespClient.connect(proxy.port);
        client.send(kinds[i % kinds.length]!);
        if (i % kinds.length !== 0) await client.untilEnded();
        client.reset();
      }));
    }
    const client = await proxy.connect();
    expect(await client.command('PING')).toBe('PONG');
    expect(written() - before).toBeLessThan(100);
  }, 30_000);

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])('%s is a name like any other (P12)', async (name) => {
    const client = await proxy.connect();
    expect(text(await client.command(name, 'x'))).toBe(`ERR unknown command '${name}', with args beginning with: 'x' `);
    expect(await client.command('SET', name, name)).toBe('OK');
    expect(await client.command('GET', name)).toBe(name);
    expect(text(await client.command('CLIENT', name))).toBe(`ERR unknown subcommand '${name}'. Try CLIENT HELP.`);
    expect(await client.command('CLIENT', 'SETNAME', name)).toBe('OK');
    expect(await client.command('CLIENT', 'GETNAME')).toBe(name);
    expect(text(await client.command('CLIENT', 'REPLY', name))).toBe('ERR syntax error');
  });

  test('what goes upstream is exactly what was framed (P2)', async () => {
    await using recorder = await startRecordingUpstream({ forwardTo: redis.port });
    await using recorded = await startProxy({ upstream: recorder.port });
    const client = await recorded.connect();
    client.send('SET a 1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nECHO "b c"\r\n*1\r\n$4\r\nPINGxx*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n');
    await client.untilEnded();
    expect(recorder.received.filter((line) => line !== 'PING' && line !== 'RESET')).toEqual(['SET a 1', 'GET a', 'ECHO b c']);
    expect(recorder.broken).toEqual([]);
  });

  test('large arrays and large values come back whole, in pipelines cut anywhere', async () => {
    const client = await RespClient.connect(proxy.port, { timeout: 15_000 });
    const fields = Array.from({ length: 20_000 }, (_, i) => `v${i}`);
    expect(await client.command('RPUSH', 'large:list', ...fields)).toBe(20_000);
    const value = 'y'.repeat(700_000);
    const bytes = Buffer.concat([
      encodeCommand(['SET', 'large:v', value]), encodeCommand(['LRANGE', 'large:list', '0', '-1']),
      encodeCommand(['GET', 'large:v']), encodeCommand(['LLEN', 'large:list']), encodeCommand(['PING']),
    ]);
    for (let at = 0; at < bytes.length; at += 99_991) {
      client.send(bytes.subarray(at, at + 99_991));
      await sleep(1);
    }
    const [set, list, got, length, pong] = await client.read(5);
    expect([set, length, pong]).toEqual(['OK', 20_000, 'PONG']);
    expect(list).toEqual(fields);
    expect(got).toBe(value);
    await client.close();
  });
});

describe('values that are never assembled', () => {
  const size = 512 * 1024 * 1024;

  /** A server that counts the bytes of SET and answers GET with as many. */
  async function bulkServer(): Promise<{ port: number; received: () => number } & AsyncDisposable> {
    const sockets = new Set<Socket>();
    const chunk = Buffer.alloc(1024 * 1024, 'z');
    let received = 0;
    const server = createServer((socket) => {
      sockets.add(socket);
      let left = -1;
      socket.on('error', () => {}).on('data', (bytes) => {
        if (left > 0) {
          left -= bytes.length;
          received += bytes.length;
          if (left <= 0) socket.write('+OK\r\n');
          return;
        }
        const head = bytes.toString('latin1', 0, 200);
        const set = /\$3\r\nSET\r\n\$1\r\nk\r\n\$(\d+)\r\n/.exec(head);
        if (set !== null) {
          const have = bytes.length - set.index - set[0].length;
          received += have;
          left = Number(set[1]) + 2 - have;
          return;
        }
        if (!/\$3\r\nGET\r\n/.test(head)) return void socket.write(head.includes('RESET') ? '+RESET\r\n+PONG\r\n' : '+PONG\r\n');
        socket.write(`$${size}\r\n`);
        let sent = 0;
        const more = (): void => {
          while (sent < size) {
            sent += chunk.length;
            if (!socket.write(chunk)) return void socket.once('drain', more);
          }
          socket.write('\r\n');
        };
        more();
      });
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return {
      port: (server.address() as AddressInfo).port,
      received: () => received,
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy();
        await new Promise<void>((resolve) => { server.close(() => resolve()); });
      },
    };
  }

  test('512 MB pass in both directions while memory stays bounded', async () => {
    await using server = await bulkServer();
    await using proxy = await startProxy({ upstream: server.port });
    const client = await RespClient.connect(proxy.port);
    const { socket } = client;
    socket.removeAllListeners('data');
    let got = 0;
    let last = '';
    socket.on('data', (bytes: Buffer) => {
      got += bytes.length;
      last = bytes.toString('latin1', Math.max(0, bytes.length - 5));
    });
    let most = 0;
    const before = process.memoryUsage.rss();
    const watch = setInterval(() => { most = Math.max(most, process.memoryUsage.rss() - before); }, 20);
    const chunk = Buffer.alloc(1024 * 1024, 'z');
    socket.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${size}\r\n`);
    for (let sent = 0; sent < size; sent += chunk.length) {
      if (!socket.write(chunk)) await new Promise((resolve) => { socket.once('drain', resolve); });
    }
    socket.write('\r\n');
    while (got < 5) await sleep(10);
    expect([last, server.received()]).toEqual(['+OK\r\n', size + 2]);
    got = 0;
    socket.write(encodeCommand(['GET', 'k']));
    while (got < size + 14) await sleep(10);
    clearInterval(watch);
    expect(got).toBe(`$${size}\r\n`.length + size + 2);
    // Buffers of two sockets and garbage that was not collected yet; the value itself is 512 MiB.
    expect(most).toBeLessThan(300 * 1024 * 1024);
    await client.close();
  }, 30_000);
});
