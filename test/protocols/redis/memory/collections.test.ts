// The collections against plain arrays and sets, at sizes where their inner layout changes.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Deque } from '../../../../protocols/redis/memory/deque.ts';
import { MemberSet } from '../../../../protocols/redis/memory/member-set.ts';
import { SortedSet } from '../../../../protocols/redis/memory/sorted-set.ts';
import {
  addLongDoubles, formatLongDouble, parseLongDouble,
} from '../../../../protocols/redis/memory/long-double.ts';

test('a deque holds what an array would', () => {
  const operation = fc.constantFrom('push', 'unshift', 'pop', 'shift', 'shift', 'insert');
  fc.assert(fc.property(fc.array(operation, { minLength: 200, maxLength: 400 }), (operations) => {
    const deque = Deque.from(Array.from({ length: 100 }, (_, i) => -i));
    const array = deque.slice();
    for (const [n, name] of operations.entries()) {
      let [taken, expected]: (number | undefined)[] = [];
      if (name === 'pop' || name === 'shift') {
        [taken, expected] = [deque[name](), array[name]()];
      } else if (name === 'insert') {
        const at = n % (array.length + 1);
        deque.insert(at, n);
        array.splice(at, 0, n);
      } else {
        deque[name](n);
        array[name](n);
      }
      expect(taken).toBe(expected);
      expect(deque.at(n % 7)).toBe(array[n % 7]);
    }
    expect(deque.slice()).toEqual(array);
    expect(deque.length).toBe(array.length);
  }));
});

test('a member set holds what a set would, and its random member is one of them', () => {
  const step = fc.tuple(fc.boolean(), fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  fc.assert(fc.property(fc.array(step), (steps) => {
    const [members, set] = [new MemberSet(), new Set<string>()];
    for (const [adds, name] of steps) {
      expect(adds ? members.add(name) : members.delete(name)).toBe(set.has(name) !== adds);
      if (adds) set.add(name);
      else set.delete(name);
    }
    expect([...members].toSorted()).toEqual([...set].toSorted());
    expect(set.has(members.random() ?? 'none')).toBe(set.size > 0);
  }));
});

test('a sorted set is ordered by score, then by bytes, and knows ranks', () => {
  const entry = fc.tuple(fc.constantFrom('a', 'b', 'B', '\xff', '', 'aa'), fc.integer({ min: -2, max: 2 }));
  fc.assert(fc.property(fc.array(entry), (entries) => {
    const [sorted, scores] = [new SortedSet(), new Map<string, number>()];
    for (const [member, score] of entries) {
      sorted.set(member, score);
      scores.set(member, score);
    }
    const expected = [...scores].toSorted(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
    const found = sorted.slice().map(({ member, score }) => [member, score]);
    expect(found).toEqual(expected.map(([member, score]) => [member, score + 0]));
    expect(expected.map(([member]) => sorted.rank(member))).toEqual(expected.map((_, rank) => rank));
  }));
});

test.each([
  ['10.5', '0.1', '10.6'], ['0.1', '0.2', '0.3'], ['3', '-3', '0'], ['-0.1', '0', '-0.1'],
  ['1e17', '1', '100000000000000001'],
  ['1e30', '1', '1000000000000000000024696061952'], ['0', '1e-18', '0'], ['0x10', '0x.8p1', '17'],
])('%s and %s are %s in long doubles', (a, b, sum) => {
  const [left, right] = [parseLongDouble(a), parseLongDouble(b)];
  if (left === null || right === null || left === 'infinite' || right === 'infinite') throw new Error('no number');
  const result = addLongDoubles(left, right);
  expect(result === null ? null : formatLongDouble(result)).toBe(sum);
});
