import { expect, test } from 'vitest';
import { listNodes } from '../../../core/config/nodes.ts';

test('nodes by name and nodes as objects are the same list', () => {
  const list = [{ host: 'a', port: 1, weight: 2, priority: 0 }, { host: '::1', port: 6379, weight: 0, priority: 0 }];
  expect(listNodes({ 'a:1': 2, '[::1]:6379': 0 })).toEqual(list);
  expect(listNodes([{ host: 'a', port: 1, weight: 2 }, { host: '[::1]', port: 6379, weight: 0 }])).toEqual(list);
});

test('a priority is kept, and no nodes are an empty list', () => {
  expect(listNodes([{ host: 'a', port: 1, weight: 1, priority: -1 }])).toMatchObject([{ priority: -1 }]);
  expect([listNodes(undefined), listNodes([]), listNodes({})]).toEqual([[], [], []]);
});
