// D7, S5, S6: subscriptions, MONITOR and client-side caching: messages that answer no request.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProxy, type Proxy } from '../../support/proxy.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RespClient } from '../../support/resp-client.ts';
import { Push, RespError } from '../../support/resp.ts';

let redis: RedisServer;
let proxy: Proxy;
let dedicated: Proxy;
beforeAll(async () => {
  redis = await startRedis();
  proxy = await startProxy({ upstream: redis.port });
  dedicated = await startProxy({
    upstream: redis.port, route: { protocol: { name: 'redis', conf: { upstream_connection: 'dedicated' } } },
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await dedicated[Symbol.asyncDispose]();
  await redis.stop();
});

let number = 0;
const forms = ['subscribe', 'psubscribe', 'ssubscribe'];
const channels = ['', 'one', 'one two three'];
const table = forms.flatMap((form) => channels.flatMap((names) => [2, 3].flatMap((resp) =>
  [[form, names, resp] as const])));

describe.each([['shared', (): Proxy => proxy], ['dedicated', (): Proxy => dedicated]] as const)('%s links', (_mode, which) => {
  test.each(table)('%s "%s" in RESP%i and its opposite answer as the server does (D7)', async (form, names, resp) => {
    const off = form.replace('subscribe', 'unsubscribe');
    const lines = [`HELLO ${resp}`, off, `${form} ${names}`, 'PING a', `${form} two four`, `${off} ${names}`, off, off, 'PING b'];
    const said: string[] = [];
    for (const port of [redis.port, which().port]) {
      await using client = await RespClient.connect(port);
      client.send(`${lines[0]}\r\n`);
      await client.read(1);
      client.send(lines.slice(1).map((line) => `${line.trim()}\r\n`).join(''));
      const deadline = performance.now() + 1000;
      let text = '';
      do text += (await client.readRaw({ idle: 30 })).toString();
      while (!text.endsWith('$1\r\nb\r\n') && performance.now() < deadline);
      // Which channel comes first when all are left is the server's hash order, the same on both.
      said.push(text);
    }
    expect(said[1]).toBe(said[0]);
    expect(said[1]).toContain('b\r\n');
  });

  test.each([2, 3])('messages of all kinds arrive in order between replies in RESP%i', async (resp) => {
    const client = await which().connect();
    const other = await which().connect();
    await client.command('HELLO', resp);
    const name = `news${number++}:`;
    const subscriptions = [['subscribe', name], ['psubscribe', `${name}*`], ['ssubscribe', name]];
    for (const command of subscriptions) {
      client.send(`${command.join(' ')}\r\n`);
      if (resp === 3) await client.readPushes(1);
      else await client.read(1);
    }
    for (let i = 0; i < 100; i++) {
      other.send(`PUBLISH ${name} m${i}\r\nSPUBLISH ${name} s${i}\r\n`);
    }
    expect(await other.read(200)).toEqual(Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 2 : 1)));
    const messages = resp === 3 ? (await client.readPushes(300)).map(({ items }) => items) : await client.read(300);
    expect(messages).toEqual(Array.from({ length: 100 }, (_, i) => [
      ['message', name, `m${i}`], ['pmessage', `${name}*`, name, `m${i}`], ['smessage', name, `s${i}`],
    ]).flat());
    if (resp === 3) expect(await client.pipeline([['ECHO', 'x'], ['CLIENT', 'GETNAME'], ['ECHO', 'y']])).toEqual(['x', null, 'y']);
  });

  test('a message of 3 MiB arrives whole between others', async () => {
    const client = await which().connect();
    const other = await which().connect();
    await client.command('SUBSCRIBE', 'large');
    const large = 'x'.repeat(3 * 1024 * 1024);
    await other.pipeline([['PUBLISH', 'large', 'before'], ['PUBLISH', 'large', large], ['PUBLISH', 'large', 'after']]);
    expect((await client.read(3) as string[][]).map((message) => message[2])).toEqual(['before', large, 'after']);
  });

  test('a subscriber that goes is gone on the server', async () => {
    const client = await which().connect();
    await client.command('SUBSCRIBE', 'going');
    await using admin = await RespClient.connect(redis.port);
    expect(await admin.command('PUBSUB', 'NUMSUB', 'going')).toEqual(['going', 1]);
    await client.close();
    await expect.poll(() => admin.command('PUBSUB', 'NUMSUB', 'going')).toEqual(['going', 0]);
  });

  test('MONITOR shows what others do and ends with RESET', async () => {
    const client = await which().connect();
    expect(await client.command('MONITOR')).toBe('OK');
    await using admin = await RespClient.connect(redis.port);
    await admin.command('ECHO', 'watched');
    const line = (await client.readRaw({ until: '"watched"' })).toString();
    expect(line).toMatch(/^\+\d+\.\d+ \[0 127\.0\.0\.1:\d+\] "ECHO" "watched"/m);
    client.send('RESET\r\n');
    expect((await client.readRaw({ until: '+RESET\r\n' })).toString()).toContain('+RESET\r\n');
    expect(await client.command('PING')).toBe('PONG');
    expect((await client.readRaw({ idle: 50 })).toString()).toBe('');
  });

  test.each([['by default', []], ['with BCAST', ['BCAST']]])('CLIENT TRACKING in RESP3 tells of changed keys %s', async (_how, options) => {
    const client = await which().connect();
    await client.command('HELLO', 3);
    expect(await client.command('CLIENT', 'TRACKING', 'ON', ...options)).toBe('OK');
    await client.command('GET', 'tracked');
    await using admin = await RespClient.connect(redis.port);
    await admin.command('SET', 'tracked', '1');
    const [push] = await client.readPushes(1);
    expect(push).toBeInstanceOf(Push);
    expect(push!.items).toEqual(['invalidate', ['tracked']]);
    expect(await client.pipeline([['GET', 'tracked'], ['ECHO', 'x']])).toEqual(['1', 'x']);
    expect(await client.command('CLIENT', 'TRACKING', 'OFF')).toBe('OK');
    await admin.command('SET', 'tracked', '2');
    expect(await client.command('GET', 'tracked')).toBe('2');
    expect(client.pushes).toEqual([]);
  });

  test('CLIENT TRACKING REDIRECT is a clear error: its number is the proxy\'s own', async () => {
    const listener = await which().connect();
    const id = await listener.command('CLIENT', 'ID') as number;
    await listener.command('SUBSCRIBE', '__redis__:invalidate');
    const client = await which().connect();
    for (const word of ['REDIRECT', 'redirect']) {
      const reply = await client.command('CLIENT', 'TRACKING', 'ON', word, String(id));
      expect((reply as RespError).text).toMatch(/^ERR CLIENT TRACKING REDIRECT is not supported by a proxy/);
    }
    expect(await client.command('CLIENT', 'TRACKINGINFO')).toEqual(['flags', ['off'], 'redirect', -1, 'prefixes', []]);
    expect(await client.command('PING')).toBe('PONG');
  });
});
