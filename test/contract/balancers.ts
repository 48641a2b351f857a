// What every balancer owes, whatever its algorithm: run by test/core/upstream/balancers.test.ts for each
// type.
import { describe, expect, test } from 'vitest';
import { buildBalancer, type Candidate } from '../../core/upstream/balancer.ts';
import { Node } from '../../core/upstream/node.ts';

/** `[weight]` or `[weight, priority]` for each node; their addresses are a:1, b:1, c:1 … */
export function candidates(...shares: (readonly [weight: number, priority?: number])[]): Candidate[] {
  return shares.map(([weight, priority = 0], index) => ({
    node: new Node(String.fromCharCode(97 + index), 1, { schedule: () => () => {} }),
    weight,
    priority,
  }));
}

export function takeOut(...out: readonly Candidate[]): void {
  for (const { node } of out) node.health.failed(new Error('refused'));
}

/** The node, with one more request under way that doesn't end: what least_conn counts. */
function sent(node: Node | null): Node | null {
  if (node !== null) node.inflight++;
  return node;
}

/** Keys as a client's addresses look; many enough that each node of a handful is met. */
export const keys = Array.from({ length: 300 }, (_, n) => Buffer.from(`10.1.${n % 3}.${n}`));

export function balancerContract(type: string): void {
  describe(`balancer ${type}`, () => {
    test('an upstream without nodes has nobody', () => {
      const balancer = buildBalancer(type, []);
      expect(balancer.pick(null, 0)).toBeNull();
      expect(balancer.pick(keys[0]!, 0)).toBeNull();
    });

    test('one node gets everything', () => {
      const only = candidates([1])[0]!;
      const balancer = buildBalancer(type, [only]);
      for (const key of [...keys, null]) expect(balancer.pick(key, 0)).toBe(only.node);
    });

    test('every node with a weight is used, with and without keys', () => {
      const list = candidates([1], [2], [1]);
      const balancer = buildBalancer(type, list);
      const all = new Set(list.map(({ node }) => node));
      expect(new Set(keys.map((key) => sent(balancer.pick(key, 0))))).toEqual(all);
      expect(new Set(keys.map(() => sent(balancer.pick(null, 0))))).toEqual(all);
    });

    test('weight 0 is never chosen, not even when it is the last', () => {
      const list = candidates([0], [1], [0]);
      const balancer = buildBalancer(type, list);
      for (const key of keys) expect(balancer.pick(key, 0)).toBe(list[1]!.node);
      takeOut(list[1]!);
      expect(balancer.pick(keys[0]!, 0)).toBeNull();
    });

    test('only weights 0 is nobody', () => {
      expect(buildBalancer(type, candidates([0], [0])).pick(keys[0]!, 0)).toBeNull();
    });

    test('a node that is out is not chosen and is again once it is back', () => {
      const list = candidates([1], [1], [1]);
      const balancer = buildBalancer(type, list);
      takeOut(list[1]!);
      const without = new Set(keys.map((key) => balancer.pick(key, 0)));
      expect(without).toEqual(new Set([list[0]!.node, list[2]!.node]));
      list[1]!.node.health.succeeded();
      expect(new Set(keys.map((key) => balancer.pick(key, 0))).size).toBe(3);
    });

    test('all nodes out is nobody', () => {
      const list = candidates([1], [1], [1, -1]);
      const balancer = buildBalancer(type, list);
      takeOut(...list);
      for (const key of [...keys, null]) expect(balancer.pick(key, 0)).toBeNull();
    });

    test('all nodes out are tried all the same when configured', () => {
      const list = candidates([1], [1], [1], [0]);
      const balancer = buildBalancer(type, list, { tryAllWhenDown: true });
      takeOut(...list);
      expect(new Set(keys.map((key) => balancer.pick(key, 0))).size).toBe(3);
      list[0]!.node.health.succeeded();
      for (const key of keys) expect(balancer.pick(key, 0)).toBe(list[0]!.node);
    });

    test('retries of a request visit each node once and then end', () => {
      const list = candidates([5], [1], [1], [3]);
      const balancer = buildBalancer(type, list);
      for (const key of [...keys, null]) {
        const tried: Node[] = [];
        for (let attempt = 0; attempt < 4; attempt++) {
          const node = balancer.pick(key, attempt, tried);
          expect(node).not.toBeNull();
          tried.push(node!);
        }
        expect(new Set(tried).size).toBe(4);
        expect(balancer.pick(key, 4, tried)).toBeNull();
      }
    });

    test('retries pass over nodes that are out', () => {
      const list = candidates([1], [1], [1]);
      const balancer = buildBalancer(type, list);
      takeOut(list[0]!);
      for (const key of keys) {
        const first = balancer.pick(key, 0)!;
        const second = balancer.pick(key, 1, [first])!;
        expect(new Set([first, second, list[0]!.node]).size).toBe(3);
        expect(balancer.pick(key, 2, [first, second])).toBeNull();
      }
    });

    test('a lower priority waits until all nodes of the higher are out or tried', () => {
      const list = candidates([1, -1], [1, 1], [1, 0], [1, 1]);
      const [last, high, low, high2] = [list[0]!, list[1]!, list[2]!, list[3]!];
      const balancer = buildBalancer(type, list);
      const top = new Set([high.node, high2.node]);
      for (const key of keys) {
        const first = balancer.pick(key, 0)!;
        const second = balancer.pick(key, 1, [first])!;
        expect(new Set([first, second])).toEqual(top);
        expect(balancer.pick(key, 2, [first, second])).toBe(low.node);
        expect(balancer.pick(key, 3, [first, second, low.node])).toBe(last.node);
      }
      takeOut(high, high2);
      for (const key of keys) expect(balancer.pick(key, 0)).toBe(low.node);
      takeOut(low);
      for (const key of keys) expect(balancer.pick(key, 0)).toBe(last.node);
      high2.node.health.succeeded();
      for (const key of keys) expect(balancer.pick(key, 0)).toBe(high2.node);
    });

    test('weights are shares', () => {
      const list = candidates([3], [1]);
      const balancer = buildBalancer(type, list);
      let first = 0;
      for (let n = 0; n < 4_000; n++) {
        if (sent(balancer.pick(Buffer.from(`192.168.${n % 16}.${n}`), 0)) === list[0]!.node) first++;
      }
      expect(first / 4_000).toBeGreaterThan(0.65);
      expect(first / 4_000).toBeLessThan(0.85);
    });

    test('two balancers over the same nodes do not disturb each other', () => {
      const list = candidates([1], [1]);
      const one = buildBalancer(type, list);
      const other = buildBalancer(type, list.slice(0, 1));
      for (const key of keys) {
        expect(one.pick(key, 0)).not.toBeNull();
        expect(other.pick(key, 0)).toBe(list[0]!.node);
      }
    });
  });
}
