// Three Millrace processes on one etcd: a change made at one of them is served by all, also after etcd was away.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startEtcd, type EtcdServer } from '../support/etcd-server.ts';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { RespError } from '../support/resp.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let etcd: EtcdServer;
let nodes: MillraceProcess[] = [];
beforeAll(async () => {
  etcd = await startEtcd();
  nodes = await Promise.all([1, 2, 1].map((workers) => startMillrace({ settings: { workers, store: { etcd: { endpoints: [etcd.endpoint] } } } })));
});
afterAll(async () => {
  for (const node of nodes) await node[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

const route = '/apisix/admin/stream_routes/1';
const withError = (error: string): object => ({
  upstream: { type: 'memory' }, protocol: { name: 'redis' }, plugins: { 'fault-injection': { abort: { error } } },
});

/** What a new client of each node gets. */
function answers(): Promise<string[]> {
  return Promise.all(nodes.map(async (node) => {
    const client = await node.connect();
    const answer = await client.command('GET', 'a');
    await client.close();
    return answer instanceof RespError ? answer.text : String(answer);
  }));
}

test('what is written at one node is served by all of them, whichever it was', async () => {
  for (const [i, node] of nodes.entries()) {
    await node.put(route, withError(`from ${i}`));
    // At the one that was asked, at once.
    expect((await answers())[i]).toBe(`ERR from ${i}`);
    await expect.poll(answers).toEqual([0, 1, 2].map(() => `ERR from ${i}`));
  }
  const [first, second] = await Promise.all(nodes.slice(0, 2).map(async (node) => (await node.call('GET', route)).body));
  expect(first).toEqual(second);
});

test('writes at all nodes at the same time are all made, and all nodes end with the same', async () => {
  const written = await Promise.all(nodes.flatMap((node, i) => Array.from({ length: 10 }, (_, n) => n).map(async (n) =>
    (await node.call('PATCH', '/apisix/admin/configs', { upstreams: { [`u${n}`]: { type: 'memory', desc: `${i}` } } })).status)));
  expect(new Set(written)).toEqual(new Set([200]));
  const lists = async (): Promise<unknown[]> => Promise.all(nodes.map(async (node) => {
    const { body } = await node.call('GET', '/apisix/admin/upstreams');
    return body.list.map(({ value, modifiedIndex }: any) => [value.id, value.desc, modifiedIndex]);
  }));
  await expect.poll(async () => new Set((await lists()).map((each) => JSON.stringify(each))).size).toBe(1);
  expect((await lists())[0]).toHaveLength(10);
});

test('while etcd is away all go on serving and refuse writes with the reason; then they are one again', async () => {
  await nodes[0]!.put(route, withError('before'));
  await expect.poll(answers).toEqual(['ERR before', 'ERR before', 'ERR before']);
  await etcd.kill();
  await expect.poll(async () => (await nodes[1]!.call('PUT', route, withError('lost'))).status, { timeout: 10_000 }).toBe(503);
  const { body } = await nodes[1]!.call('PUT', route, withError('lost'));
  expect(body.error_msg).toMatch(/^etcd at http:.* is away \(.*\); the last configuration is used, and nothing can be changed$/);
  expect(await answers()).toEqual(['ERR before', 'ERR before', 'ERR before']);
  await etcd.start();
  await expect.poll(async () => (await nodes[2]!.call('PUT', route, withError('after'))).status, { timeout: 20_000 }).toBe(200);
  await expect.poll(answers, { timeout: 15_000 }).toEqual(['ERR after', 'ERR after', 'ERR after']);
  expect(nodes[0]!.records().map(({ code }) => code)).toEqual(expect.arrayContaining(['STORE_AWAY', 'STORE_BACK']));
});

test('a node that starts while etcd is away serves what it served before', async () => {
  const [, , node] = nodes;
  const folder = node!.folder;
  node!.signal('SIGKILL');
  await node!.exited;
  await etcd.kill();
  await using again = await startMillrace({ folder, settings: { workers: 1, store: { etcd: { endpoints: [etcd.endpoint] } } } });
  expect(await (await again.connect()).command('GET', 'a')).toEqual(new RespError('ERR after'));
});
