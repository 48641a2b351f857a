import { expect, test } from 'vitest';
import { ProxyError } from '../../../core/errors.ts';
import { balancers, buildBalancer, type Balancer } from '../../../core/upstream/balancer.ts';
import { Ewma } from '../../../core/upstream/ewma.ts';
import { Latency } from '../../../core/upstream/latency.ts';
import type { Node } from '../../../core/upstream/node.ts';
import { balancerContract, candidates, keys, takeOut } from '../../contract/balancers.ts';

for (const type of Object.keys(balancers)) balancerContract(type);

test('the known types are those of the reference and what its example uses', () => {
  expect(Object.keys(balancers).toSorted()).toEqual(['chash', 'ewma', 'least_conn', 'none', 'roundrobin']);
});

test.each(['random', '', 'toString', '__proto__'])('type %j is refused with the known ones', (type) => {
  const text = `type: expected one of chash, ewma, least_conn, none, roundrobin, got "${type}"`;
  expect(() => buildBalancer(type, [])).toThrow(new ProxyError('CONFIG_INVALID', text));
});

/** The next `count` answers as one word, nodes being single letters. */
function word(balancer: Balancer, count: number): string {
  return Array.from({ length: count }, () => balancer.pick(null, 0)?.host ?? '-').join('');
}

const fromTheBegin = { random: () => 0 };

test.each([
  [[5, 1, 1], 'aabacaaaabacaa'],
  [[1, 1, 1], 'abcabcabc'],
  [[4, 2, 1], 'abacabaabacaba'],
  [[3, 2], 'ababaababa'],
  [[1, 0, 2], 'caccac'],
  [[7], 'aaa'],
])('roundrobin with weights %j goes %s', (weights, expected) => {
  const list = candidates(...weights.map((weight) => [weight] as const));
  const balancer = buildBalancer('roundrobin', list, fromTheBegin);
  expect(word(balancer, expected.length)).toBe(expected);
});

test('none is roundrobin', () => {
  const list = candidates([5], [1], [1]);
  expect(word(buildBalancer('none', list, fromTheBegin), 7)).toBe('aabacaa');
});

test('roundrobin shares a missing node’s turns among the others and takes it back smoothly', () => {
  const list = candidates([1], [1], [1]);
  const balancer = buildBalancer('roundrobin', list, fromTheBegin);
  expect(word(balancer, 3)).toBe('abc');
  takeOut(list[0]!);
  expect(word(balancer, 4)).toBe('bcbc');
  list[0]!.node.health.succeeded();
  expect(word(balancer, 6)).toBe('abcabc');
});

test('roundrobin begins at a node by chance', () => {
  const begins = [0, 0.34, 0.67].map((dice) =>
    word(buildBalancer('roundrobin', candidates([1], [1], [1]), { random: () => dice }), 1));
  expect(begins).toEqual(['a', 'b', 'c']);
});

test('least_conn takes the node with the fewest requests under way', () => {
  const list = candidates([1], [1], [1]);
  const balancer = buildBalancer('least_conn', list);
  [3, 1, 2].forEach((inflight, n) => { list[n]!.node.inflight = inflight; });
  expect(word(balancer, 2)).toBe('bb');
  list[1]!.node.inflight = 5;
  expect(word(balancer, 1)).toBe('c');
});

test('least_conn counts (requests under way + 1) / weight', () => {
  const list = candidates([4], [1]);
  const { node } = list[0]!;
  const balancer = buildBalancer('least_conn', list);
  node.inflight = 2;
  expect(word(balancer, 1)).toBe('a');
  node.inflight = 4;
  expect(word(balancer, 1)).toBe('b');
});

test('least_conn goes round among equals, so an idle upstream uses all its nodes', () => {
  expect(word(buildBalancer('least_conn', candidates([1], [1], [1])), 6)).toBe('abcabc');
});

test('least_conn sees counts that were there before it was built', () => {
  const list = candidates([1], [1]);
  list[0]!.node.inflight = 10;
  expect(word(buildBalancer('least_conn', list), 3)).toBe('bbb');
});

/** Answers that took so many ms, the last of them at 100,000 ms. */
function answered(node: Node, took: number): void {
  node.latency!.observe(took, 100_000);
}

test('ewma takes the one of two that answered faster of late', () => {
  const list = candidates([1], [1]);
  const balancer = new Ewma(list, Math.random, { now: () => 100_000 });
  answered(list[0]!.node, 20);
  answered(list[1]!.node, 5);
  const picks = Array.from({ length: 50 }, () => balancer.choose(null, [], () => true)!.host);
  expect(new Set(picks)).toEqual(new Set(['b']));
});

test('ewma never takes the slowest of three, and shares among the others', () => {
  const list = candidates([1], [1], [1]);
  const balancer = new Ewma(list, Math.random, { now: () => 100_000 });
  [1, 2, 50].forEach((took, index) => answered(list[index]!.node, took));
  const picks = Array.from({ length: 200 }, () => balancer.choose(null, [], () => true)!.host);
  expect(new Set(picks)).toEqual(new Set(['a', 'b']));
});

test('ewma treats a node that has not answered yet as any other', () => {
  const list = candidates([1], [1]);
  const balancer = new Ewma(list, Math.random, { now: () => 100_000 });
  answered(list[0]!.node, 5);
  const picks = Array.from({ length: 100 }, () => balancer.choose(null, [], () => true)!.host);
  expect(new Set(picks)).toEqual(new Set(['a', 'b']));
});

test('a moving average follows what is seen now, and fades when nothing is', () => {
  const latency = new Latency();
  expect(latency.known).toBe(false);
  latency.observe(100, 0);
  expect(latency.read(0)).toBe(100);
  latency.observe(10, 10_000);
  expect(latency.read(10_000)).toBeCloseTo(100 / Math.E + 10 * (1 - 1 / Math.E), 5);
  expect(latency.read(70_000)).toBeLessThan(0.2);
});

test.each(Object.keys(balancers))('the first attempt of %s allocates nothing', (type) => {
  const balancer = buildBalancer(type, candidates([3], [2], [1]));
  const key = keys[0]!;
  const run = (picks: number): void => { for (let n = 0; n < picks; n++) balancer.pick(key, 0); };
  run(300_000);
  const before = process.memoryUsage().heapUsed;
  run(100_000);
  // One array or closure a pick would be 1.6 MB and more.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(500_000);
});
