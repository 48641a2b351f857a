import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { leakMatrix, restoreServer, runLeakMatrix, type LeakEntry } from './leak-matrix.ts';
import { startRedis } from './redis-server.ts';
import { RespClient } from './resp-client.ts';
import { RespError } from './resp.ts';

const SYNTAX = /wrong number of arguments|syntax error|unknown command|unknown subcommand|not an integer|not a valid|WRONGTYPE/i;

test('the matrix holds every command and subcommand of the server with arguments that it accepts',
  async () => {
  await using redis = await startRedis();
  const entries = await leakMatrix(redis.port);
  expect(new Set(entries.map(({ name }) => name)).size).toBe(entries.length);
  expect(entries.length).toBeGreaterThan(380);
  await using direct = await RespClient.connect(redis.port);
  const wrong: string[] = [];
  for (const { name, before, args, blocks, refused } of entries) {
    if (refused || blocks || before.length > 0 || CONTAINERS.has(name)) continue;
    if (name.startsWith('client|reply') || name === 'reply skip') continue;
    await restoreServer(direct);
    await using client = await RespClient.connect(redis.port);
    const reply = await client.command(...args);
    if (reply instanceof RespError && SYNTAX.test(reply.text)) wrong.push(`${args.join(' ')}: ${reply.text}`);
  }
  expect(wrong).toEqual([]);
});

test('straight on the server nothing leaks', async () => {
  await using redis = await startRedis();
  const differences =
    await runLeakMatrix({ port: redis.port, serverPort: redis.port, expectRefusals: false });
  expect(differences).toEqual([]);
}, 120_000);

test('a pool that hands on connections as they are is found out', async () => {
  await using redis = await startRedis();
  const found: string[] = [];
  for (const entry of (await leakMatrix(redis.port)).filter(({ name }) => SAMPLE.has(name))) {
    await using pool = await startNaivePool(redis.port);
    const differences = await runLeakMatrix({
      port: pool.port, serverPort: redis.port, expectRefusals: false, entries: [entry], endings: ['normal'],
      probers: 1, probeMs: 300,
    });
    if (differences.length > 0) found.push(entry.name);
  }
  expect(found).toEqual([...SAMPLE].filter((name) => name !== 'get').toSorted());
});

test('a command that must be refused and is not is reported', async () => {
  await using redis = await startRedis();
  const entries = (await leakMatrix(redis.port)).filter(({ name }): boolean => name === 'replicaof'
    || name === 'script|kill');
  const differences = await runLeakMatrix({
    port: redis.port, serverPort: redis.port, expectRefusals: true, entries, endings: ['normal'],
  });
  expect(differences).toEqual([{
    entry: 'replicaof', ending: 'normal', client: 'A', probe: 'REPLICAOF NO ONE', expected: 'an error',
    got: '"OK"',
  }]);
});

const SAMPLE: ReadonlySet<LeakEntry['name']> = new Set([
  'get', 'select', 'multi', 'hello', 'auth', 'client|setname', 'subscribe', 'client|tracking',
  'client|no-evict', 'client|reply',
]);
const CONTAINERS = new Set([
  'acl', 'client', 'cluster', 'command', 'config', 'function', 'latency', 'memory', 'module', 'object',
  'pubsub', 'script',
  'slowlog', 'xgroup', 'xinfo',
]);

// What the matrix is there to catch: one upstream connection, passed from client to client.
async function startNaivePool(to: number): Promise<{ port: number } & AsyncDisposable> {
  const free: Socket[] = [];
  const all = new Set<Socket>();
  const server = createServer((client) => {
    const link = free.pop() ?? connect({ port: to, host: '127.0.0.1', noDelay: true });
    for (const socket of [client, link]) all.add(socket);
    link.removeAllListeners('data');
    link.on('data', (bytes: Buffer) => client.write(bytes));
    link.removeAllListeners('error');
    link.on('error', () => {});
    client.on('data', (bytes: Buffer) => link.write(bytes));
    client.on('error', () => {});
    client.on('close', () => { if (!link.destroyed) free.push(link); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of all) socket.destroy();
      await new Promise<void>((resolve) => { server.close(() => resolve()); });
    },
  };
}
