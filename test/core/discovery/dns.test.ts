import { expect, test } from 'vitest';
import { DnsDiscovery } from '../../../core/discovery/dns.ts';
import { DnsLookup } from '../../../core/discovery/dns-lookup.ts';
import { startDns, type DnsServer } from '../../support/dns-server.ts';
import { ManualTime } from '../upstream/manual-time.ts';

interface Watched {
  readonly told: unknown[];
  readonly failures: string[];
  close(): void;
}

function watch(server: DnsServer, name: string, time: ManualTime): Watched {
  const lookup = new DnsLookup({ servers: [server.address], timeout: 100 });
  const discovery = new DnsDiscovery({ lookup, least: 2000, most: 30_000, negative: 1000, schedule: time.schedule, random: () => 0 });
  const [told, failures]: [unknown[], string[]] = [[], []];
  const { close } = discovery.watch(
    { name, args: {}, defaultPort: 6379 }, (nodes) => told.push(nodes), (cause) => failures.push((cause as Error).message));
  return { told, failures, close };
}

const ip = (host: string, port = 6379): object => ({ host, port, weight: 1, priority: 0 });

test.each([
  ['redis.test', { a: ['10.0.0.1', '10.0.0.2'] }, [ip('10.0.0.1'), ip('10.0.0.2')]],
  ['redis.test:7000', { a: ['10.0.0.1'], srv: [{ host: 'x.test', port: 1 }] }, [ip('10.0.0.1', 7000)]],
  ['redis.test', { aaaa: ['fd00:0:0:0:0:0:0:1'] }, [ip('[fd00::1]')]],
  ['redis.test', { a: ['10.0.0.1'], srv: [{ host: 'a.test', port: 7001, weight: 5, priority: 10 }, { host: 'b.test', port: 7002, weight: 0, priority: 20 }] },
    [{ host: 'a.test', port: 7001, weight: 5, priority: -10 }, { host: 'b.test', port: 7002, weight: 1, priority: -20 }]],
  ['_redis._tcp.test', { srv: [{ host: 'a.test', port: 7001 }] }, [{ host: 'a.test', port: 7001, weight: 1, priority: 0 }]],
])('the nodes of %s with %j', async (name, records, nodes) => {
  await using server = await startDns({ [name.split(':')[0]!]: records });
  const { told, close } = watch(server, name, new ManualTime());
  await expect.poll(() => told).toEqual([nodes]);
  close();
});

test.each([
  [5, 5000], [0, 2000], [86_400, 30_000],
])('an answer that holds for %i s is asked again after %i ms', async (ttl, pause) => {
  await using server = await startDns({ 'redis.test': { a: ['10.0.0.1'], ttl } });
  const time = new ManualTime();
  const { told, close } = watch(server, 'redis.test:6379', time);
  await expect.poll(() => told.length).toBe(1);
  await time.advance(pause - 1);
  expect(server.questions).toHaveLength(2);
  await time.advance(1);
  await expect.poll(() => told.length).toBe(2);
  close();
  expect(time.timers).toBe(0);
});

test('failures are told and asked again after longer and longer pauses, and answers then come as ever', async () => {
  await using server = await startDns();
  const time = new ManualTime();
  const { told, failures, close } = watch(server, 'redis.test:6379', time);
  for (const [pause, count] of [[0, 1], [1000, 2], [2000, 3], [4000, 4]] as const) {
    await time.advance(pause);
    await expect.poll(() => failures.length).toBe(count);
  }
  expect(failures[0]).toContain('ENOTFOUND');
  server.names.set('redis.test', { a: ['10.0.0.1'] });
  server.trouble = 'servfail';
  await time.advance(8000);
  await expect.poll(() => failures.length).toBe(5);
  server.trouble = 'none';
  await time.advance(16_000);
  await expect.poll(() => told).toEqual([[ip('10.0.0.1')]]);
  close();
});

test('a service name without SRV record is told so', async () => {
  await using server = await startDns({ '_redis._tcp.test': {} });
  const { failures, close } = watch(server, '_redis._tcp.test', new ManualTime());
  await expect.poll(() => failures).toEqual(['no SRV record for _redis._tcp.test']);
  close();
});

test('of an answer with thousands of records a thousand are taken; the names of its services are not all asked for', async () => {
  const srv = Array.from({ length: 1500 }, (_, index) => ({ host: `n${index}.test`, port: 1 + index }));
  const asked: string[] = [];
  const lookup = {
    services: async () => srv.map(({ host: name, port }) => ({ name, port, priority: 0, weight: 1 })).slice(0, 1000),
    addresses: async (name: string) => { asked.push(name); return [{ address: '10.0.0.1', family: 4, ttl: 5 }]; },
  };
  const time = new ManualTime();
  const discovery = new DnsDiscovery({ lookup, least: 1000, most: 30_000, negative: 1000, schedule: time.schedule, random: () => 0 });
  const told: unknown[][] = [];
  const { close } = discovery.watch({ name: '_redis._tcp.test', args: {}, defaultPort: 6379 }, (nodes) => told.push(nodes as unknown[]), () => undefined);
  await expect.poll(() => told.length).toBe(1);
  expect([told[0]!.length, asked.length]).toEqual([1000, 8]);
  close();
});

const question = (bytes: Buffer): Buffer => bytes.subarray(12);
const head = (bytes: Buffer, ...rest: number[]): Buffer => Buffer.from([bytes[0]!, bytes[1]!, ...rest]);

test.each<[what: string, answer: (asked: Buffer) => Buffer]>([
  ['an empty datagram', () => Buffer.alloc(0)],
  ['noise', (asked) => Buffer.concat([head(asked), Buffer.alloc(500, 0xff)])],
  ['another question\'s number', (asked) => Buffer.concat([Buffer.from([asked[0]! ^ 1, asked[1]!, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]), question(asked)])],
  ['65535 records that are not there', (asked) => Buffer.concat([head(asked, 0x81, 0x80, 0, 1, 255, 255, 0, 0, 0, 0), question(asked)])],
  ['a name that points at itself', (asked) => Buffer.concat([head(asked, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0), question(asked), Buffer.from([0xc0, 12 + question(asked).length])])],
  ['an address of three bytes', (asked) => Buffer.concat([head(asked, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0), question(asked), Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3])])],
  ['that it is cut, with nothing behind it', (asked) => Buffer.concat([head(asked, 0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0), question(asked)])],
])('a name server that answers with %s has not answered (U7)', async (_what, answer) => {
  await using server = await startDns({ 'redis.test': { a: ['10.0.0.1'], ttl: 5 } });
  const time = new ManualTime();
  const { told, failures, close } = watch(server, 'redis.test:6379', time);
  await expect.poll(() => told).toEqual([[ip('10.0.0.1')]]);
  server.forge = answer;
  await time.advance(5000);
  await expect.poll(() => failures.length, { timeout: 10_000 }).toBe(1);
  server.forge = null;
  await time.advance(1000);
  await expect.poll(() => told.length).toBe(2);
  close();
});
