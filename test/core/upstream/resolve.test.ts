import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { Resolver, type Address, type ResolverOptions } from '../../../core/upstream/resolve.ts';
import { freePort } from '../../support/ports.ts';
import { ManualTime, settle } from './manual-time.ts';

const v4 = (...addresses: string[]): Address[] => addresses.map((address) => ({ address, family: 4 }));

/** A resolver whose answers the test gives; with none left the last one is repeated. */
function stubbed(answers: (Address[] | Error | Promise<Address[]>)[], options: ResolverOptions = {}) {
  const time = new ManualTime();
  const asked: number[] = [];
  const changes: string[] = [];
  const errors: string[] = [];
  const resolver = new Resolver({
    clock: time,
    schedule: time.schedule,
    lookup: async () => {
      asked.push(time.now());
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    onChange: (_host, addresses) => changes.push(addresses.map(({ address }) => address).join(' ')),
    onError: (host, error) => errors.push(`${host}: ${error instanceof Error ? error.message : 'no error'}`),
    ...options,
  });
  const known = (): string[] => resolver.addresses('redis.test').map(({ address }) => address);
  return { resolver, time, asked, changes, errors, known };
}

function asking(resolver: Resolver, options: { all?: boolean; family?: number } = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    resolver.lookup('redis.test', options, (error, addresses, family) => {
      if (error !== null) reject(error);
      else resolve(options.all === true ? addresses : [addresses, family]);
    });
  });
}

test('a tracked name is asked at once and again every 30 seconds', async () => {
  const { resolver, time, asked, known } = stubbed([v4('10.0.0.1')]);
  resolver.track('redis.test');
  await settle();
  expect(known()).toEqual(['10.0.0.1']);
  await time.advance(90_000);
  expect(asked).toEqual([0, 30_000, 60_000, 90_000]);
});

test('new addresses are told once and used, old ones forgotten', async () => {
  const { resolver, time, changes, known } = stubbed([v4('10.0.0.1'), v4('10.0.0.1'), v4('10.0.0.2')]);
  resolver.track('redis.test');
  await time.advance(60_000);
  expect(changes).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(known()).toEqual(['10.0.0.2']);
});

test.each([
  ['an error', new Error('SERVFAIL'), 'redis.test: SERVFAIL'],
  ['an empty answer', [], 'redis.test: no address for redis.test'],
])('%s keeps the last good addresses and is asked again with growing pauses', async (_what, bad, text) => {
  const { resolver, time, asked, errors, known } = stubbed([v4('10.0.0.1'), bad]);
  resolver.track('redis.test');
  await time.advance(30_000);
  expect(known()).toEqual(['10.0.0.1']);
  expect(errors).toEqual([text]);
  await time.advance(7_000);
  expect(asked).toEqual([0, 30_000, 31_000, 33_000, 37_000]);
  expect(known()).toEqual(['10.0.0.1']);
});

test('the pause after errors never exceeds the interval', async () => {
  const { resolver, time, asked } = stubbed([new Error('SERVFAIL')]);
  resolver.track('redis.test');
  await time.advance(121_000);
  expect(asked).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000, 121_000]);
});

test('a slow answer holds up nobody who can use the old one', async () => {
  const slow = Promise.withResolvers<Address[]>();
  const { resolver, time, asked } = stubbed([v4('10.0.0.1'), slow.promise]);
  resolver.track('redis.test');
  await time.advance(30_000);
  expect(await asking(resolver)).toEqual(['10.0.0.1', 4]);
  resolver.failed('redis.test');
  await time.advance(60_000);
  expect(asked).toEqual([0, 30_000]);
  slow.resolve(v4('10.0.0.9'));
  await settle();
  expect(await asking(resolver)).toEqual(['10.0.0.9', 4]);
});

test('a connect to a name that was never answered waits for the first answer', async () => {
  const slow = Promise.withResolvers<Address[]>();
  const { resolver, asked } = stubbed([slow.promise]);
  resolver.track('redis.test');
  const waiting = Promise.all([asking(resolver), asking(resolver, { all: true })]);
  slow.resolve(v4('10.0.0.1'));
  expect(await waiting).toEqual([['10.0.0.1', 4], v4('10.0.0.1')]);
  expect(asked).toHaveLength(1);
});

test('a storm of connects to a name that does not exist asks once a second', async () => {
  const { resolver, time, asked } = stubbed([new Error('ENOTFOUND redis.test')], { interval: 30_000 });
  resolver.track('redis.test');
  for (let n = 0; n < 50; n++) await expect(asking(resolver)).rejects.toThrow('ENOTFOUND redis.test');
  expect(asked).toHaveLength(1);
  await time.advance(999);
  await expect(asking(resolver)).rejects.toThrow('ENOTFOUND redis.test');
  expect(asked).toHaveLength(1);
});

test('an address that failed is tried last and stays last when the name is asked again', async () => {
  const { resolver, time, asked, known } = stubbed([v4('10.0.0.1', '10.0.0.2', '10.0.0.3')]);
  resolver.track('redis.test');
  await time.advance(5_000);
  resolver.failed('redis.test', '10.0.0.2');
  expect(known()).toEqual(['10.0.0.1', '10.0.0.3', '10.0.0.2']);
  await settle();
  expect(asked).toEqual([0, 5_000]);
  resolver.failed('redis.test');
  expect(known()).toEqual(['10.0.0.3', '10.0.0.2', '10.0.0.1']);
  await settle();
  expect(asked).toEqual([0, 5_000]);
});

test('both families are offered, or the one that is wanted', async () => {
  const both = [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }];
  const { resolver } = stubbed([both]);
  resolver.track('redis.test');
  expect(await asking(resolver, { all: true })).toEqual(both);
  expect(await asking(resolver)).toEqual(['::1', 6]);
  expect(await asking(resolver, { family: 4 })).toEqual(['127.0.0.1', 4]);
});

test('a family that the name does not have is an error, not an empty address', async () => {
  const { resolver } = stubbed([v4('127.0.0.1')]);
  resolver.track('redis.test');
  await expect(asking(resolver, { family: 6 })).rejects.toMatchObject({ code: 'ENOTFOUND' });
});

test('IP addresses are never asked', async () => {
  const { resolver, asked, time } = stubbed([v4('10.0.0.1')]);
  resolver.track('127.0.0.1').close();
  resolver.track('::1');
  expect(resolver.addresses('::1')).toEqual([{ address: '::1', family: 6 }]);
  await time.advance(60_000);
  expect(asked).toEqual([]);
});

test('a name is tracked until its last user closes, and closing twice counts once', async () => {
  const { resolver, time, asked, known } = stubbed([v4('10.0.0.1')]);
  const one = resolver.track('redis.test');
  const other = resolver.track('redis.test');
  await settle();
  one.close();
  one.close();
  expect(known()).toEqual(['10.0.0.1']);
  other.close();
  expect(known()).toEqual([]);
  await time.advance(90_000);
  expect(asked).toEqual([0]);
});

test('an answer that comes after the name was dropped starts nothing', async () => {
  const slow = Promise.withResolvers<Address[]>();
  const { resolver, time, changes } = stubbed([slow.promise]);
  resolver.track('redis.test').close();
  slow.resolve(v4('10.0.0.1'));
  await settle();
  expect(changes).toEqual([]);
  expect(time.timers).toBe(0);
});

test('close ends all timers', async () => {
  const { resolver, time } = stubbed([v4('10.0.0.1')]);
  resolver.track('redis.test');
  resolver.track('other.test');
  await settle();
  expect(time.timers).toBe(2);
  resolver.close();
  expect(time.timers).toBe(0);
});

test('a real connect goes on to the next address when the first refuses', async () => {
  const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // Nobody listens on 127.0.0.2 at this port.
  const { resolver } = stubbed([v4('127.0.0.2', '127.0.0.1')]);
  resolver.track('redis.test');
  const socket = connect({ host: 'redis.test', port, lookup: resolver.lookup });
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  expect(bytes.toString()).toBe('hello');
  expect(socket.remoteAddress).toBe('127.0.0.1');
  socket.destroy();
  server.close();
});

test('a name that cannot be resolved fails the connect with its cause', async () => {
  const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND redis.test'), { code: 'ENOTFOUND' });
  const { resolver } = stubbed([unknown]);
  resolver.track('redis.test');
  const socket = connect({ host: 'redis.test', port: await freePort(), lookup: resolver.lookup });
  const [error] = await once(socket, 'error').catch((cause: unknown) => [cause]);
  expect(error).toMatchObject({ code: 'ENOTFOUND' });
});

test('without a stub the system answers', async () => {
  const resolver = new Resolver();
  resolver.track('localhost');
  const addresses = await new Promise<unknown>((resolve) => {
    resolver.lookup('localhost', { all: true }, (_error, all) => resolve(all));
  });
  const local = expect.stringMatching(/^(127\.0\.0\.1|::1)$/);
  expect(addresses).toEqual(expect.arrayContaining([expect.objectContaining({ address: local })]));
  resolver.close();
});
