import { expect, test } from 'vitest';
import { buildBalancer, type BalancerOptions } from '../../../core/upstream/balancer.ts';
import type { KeyHashName } from '../../../core/upstream/key-hash.ts';
import { Node } from '../../../core/upstream/node.ts';
import golden from '../../golden/ketama/rings.json' with { type: 'json' };

const hashes: Readonly<Record<string, KeyHashName>> = { fnv1a_64: 'fnv1a_64', crc32a: 'crc32' };

function ring(nodes: readonly { address: string; weight: number }[], options: BalancerOptions = {}) {
  const list = nodes.map(({ address, weight }) => {
    const [host = '', port] = address.split(':');
    return { node: new Node(host, Number(port), { schedule: () => () => {} }), weight, priority: 0 };
  });
  const balancer = buildBalancer('chash', list, options);
  const nodeOf = (key: string): string => balancer.pick(Buffer.from(key), 0)?.address ?? 'nobody';
  return { list, balancer, nodeOf };
}

function equal(count: number) {
  return Array.from({ length: count }, (_, n) => ({ address: `10.0.0.${n + 1}:6379`, weight: 1 }));
}

const keys = Array.from({ length: 10_000 }, (_, n) => `10.${n % 5}.${n >> 8}.${n & 255}`);

const cases = golden.rings.map((each) => [each.hash, each.nodes.map(({ weight }) => weight), each] as const);

test.each(cases)(
  'every key goes where nutcracker sends it: hash %s, weights %j',
  (hash, _weights, { nodes, answers }) => {
    const { nodeOf } = ring(nodes, { hash: hashes[hash]! });
    expect(golden.keys).toHaveLength(500);
    expect(golden.keys.map(nodeOf)).toEqual(answers.map((index) => nodes[index]!.address));
  },
);

test('the same key always goes to the same node, in every process', () => {
  const one = ring(equal(5));
  const other = ring(equal(5));
  expect(keys.map(one.nodeOf)).toEqual(keys.map(other.nodeOf));
});

test('the order of nodes in the configuration does not matter', () => {
  expect(keys.map(ring(equal(5)).nodeOf)).toEqual(keys.map(ring(equal(5).toReversed()).nodeOf));
});

test('client addresses spread over the nodes: each gets within a quarter of its share', () => {
  const { nodeOf } = ring(equal(4));
  const counts = Map.groupBy(keys, nodeOf);
  expect(counts.size).toBe(4);
  for (const [, mine] of counts) expect(Math.abs(mine.length / 2_500 - 1)).toBeLessThan(0.25);
});

test('when a node goes out only its own keys move, and they spread', () => {
  const { list, nodeOf } = ring(equal(5));
  const before = keys.map(nodeOf);
  const gone = list[2]!.node;
  gone.health.failed(new Error('refused'));
  const after = keys.map(nodeOf);
  const moved = keys.flatMap((_, n) => (before[n] === after[n] ? [] : [n]));
  expect(moved.length).toBeGreaterThan(0);
  for (const n of moved) expect(before[n]).toBe(gone.address);
  expect(new Set(moved.map((n) => after[n])).size).toBe(4);
  gone.health.succeeded();
  expect(keys.map(nodeOf)).toEqual(before);
});

test('a node that is out sends its keys where a ring without it would', () => {
  const five = ring(equal(5));
  five.list[4]!.node.health.failed(new Error('refused'));
  expect(keys.map(five.nodeOf)).toEqual(keys.map(ring(equal(4)).nodeOf));
});

test('a new node takes about its share and nothing moves between the old ones', () => {
  const before = keys.map(ring(equal(4)).nodeOf);
  const after = keys.map(ring(equal(5)).nodeOf);
  const moved = keys.flatMap((_, n) => (before[n] === after[n] ? [] : [after[n]]));
  expect(new Set(moved)).toEqual(new Set(['10.0.0.5:6379']));
  expect(moved.length / keys.length).toBeGreaterThan(0.13);
  expect(moved.length / keys.length).toBeLessThan(0.27);
});

test('the retry of a key goes to the same next node each time', () => {
  const { balancer } = ring(equal(5));
  for (const key of keys.slice(0, 200).map((text) => Buffer.from(text))) {
    const first = balancer.pick(key, 0)!;
    const second = balancer.pick(key, 1, [first]);
    expect(second).not.toBe(first);
    expect(balancer.pick(key, 1, [first])).toBe(second);
  }
});

test('a node with a tiny weight beside a huge one still gets some keys', () => {
  const nodes = [{ address: 'big:1', weight: 1_000_000 }, { address: 'tiny:1', weight: 1 }];
  const { nodeOf } = ring(nodes);
  const counts = Map.groupBy(keys, nodeOf);
  expect(counts.get('tiny:1')?.length).toBeGreaterThan(0);
  expect(counts.get('tiny:1')?.length).toBeLessThan(keys.length / 10);
});

test('requests without a key go over all nodes evenly', () => {
  const { balancer } = ring(equal(4));
  const counts = new Map<string, number>();
  for (let n = 0; n < 10_000; n++) {
    const { address } = balancer.pick(null, 0)!;
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  for (const [, count] of counts) expect(Math.abs(count / 2_500 - 1)).toBeLessThan(0.25);
});

test('an empty key is a key', () => {
  const { nodeOf } = ring(equal(4));
  expect(new Set(Array.from({ length: 20 }, () => nodeOf(''))).size).toBe(1);
});
