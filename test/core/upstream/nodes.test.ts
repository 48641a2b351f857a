import { expect, test } from 'vitest';
import { NodeTable } from '../../../core/upstream/node.ts';
import { candidatesOf, parseNodes, readNodes } from '../../../core/upstream/nodes.ts';

const spec = (host: string, port: number, weight = 1, priority = 0) => ({ host, port, weight, priority });

test.each([
  [{ '127.0.0.1:6380': 2 }, [spec('127.0.0.1', 6380, 2)]],
  [{ '127.0.0.1': 1 }, [spec('127.0.0.1', 6379)]],
  [{ 'Redis.Local:1': 1 }, [spec('redis.local', 1)]],
  [{ my_service: 0 }, [spec('my_service', 6379, 0)]],
  [{ '[::1]:6380': 1 }, [spec('::1', 6380)]],
  [{ '[fe80::1]': 1 }, [spec('fe80::1', 6379)]],
  [{ 'a:1': 1, 'b:65535': 3 }, [spec('a', 1), spec('b', 65_535, 3)]],
  [[{ host: '10.0.0.1', port: 7000, weight: 5, priority: -1 }], [spec('10.0.0.1', 7000, 5, -1)]],
  [[{ host: '[::1]', weight: 1 }], [spec('::1', 6379)]],
  [[{ host: 'a', weight: 1, metadata: {} }], [spec('a', 6379)]],
  [{}, []],
  [[], []],
])('nodes %j are read', (nodes, specs) => {
  expect(readNodes(nodes, { defaultPort: 6379 })).toMatchObject({ specs, problems: [] });
});

test.each([
  [{ '': 1 }, 'nodes[""]: expected an address such as "127.0.0.1:6379", got an empty one'],
  [{ ':6379': 1 }, 'nodes[":6379"]: expected a host name or IP address, got ""'],
  [{ 'a:0': 1 }, 'nodes["a:0"]: expected 1..65535, got 0'],
  [{ 'a:65536': 1 }, 'nodes["a:65536"]: expected 1..65535, got 65536'],
  [{ 'a:': 1 }, 'nodes["a:"]: expected a port 1..65535 after the colon, got ""'],
  [{ 'a:x': 1 }, 'nodes["a:x"]: expected a port 1..65535 after the colon, got "x"'],
  [{ 'a:-1': 1 }, 'nodes["a:-1"]: expected a port 1..65535 after the colon, got "-1"'],
  [{ '::1': 1 }, `nodes["::1"]: IPv6 address must be enclosed with '[' and ']', got "::1"`],
  [{ 'a b:1': 1 }, 'nodes["a b:1"]: expected a host name or IP address, got "a b"'],
  [{ '10.0.0.256:1': 1 }, 'nodes["10.0.0.256:1"]: expected a host name or IP address, got "10.0.0.256"'],
  [{ '[nonsense]:1': 1 }, 'nodes["[nonsense]:1"]: expected a host name or IP address, got "[nonsense]"'],
  [{ 'a:1': -1 }, 'nodes["a:1"]: expected 0..1000000, got -1'],
  [{ 'a:1': '1' }, 'nodes["a:1"]: expected 0..1000000, got "1"'],
  [{ 'a:1': 1.5 }, 'nodes["a:1"]: expected 0..1000000, got 1.5'],
  [[{ host: 'a', weight: 1 }, { host: 'b', port: 0, weight: 1 }], 'nodes[1].port: expected 1..65535, got 0'],
  [[{ host: 'a', port: '1', weight: 1 }], 'nodes[0].port: expected 1..65535, got "1"'],
  [[{ port: 1, weight: 1 }], 'nodes[0].host: expected a host name or IP address, got nothing'],
  [[{ host: '::1', weight: 1 }], `nodes[0].host: IPv6 address must be enclosed with '[' and ']', got "::1"`],
  [[{ host: 'a:1', weight: 1 }], 'nodes[0].host: expected a host name or IP address, got "a:1"'],
  [[{ host: 'a' }], 'nodes[0].weight: expected 0..1000000, got nothing'],
  [[{ host: 'a', weight: 1, priority: 'high' }], 'nodes[0].priority: expected -1000000..1000000, got "high"'],
  [['a:1'], 'nodes[0]: expected an object with host, port and weight, got "a:1"'],
  ['a:1', 'nodes: expected an object of addresses and weights, or an array, got "a:1"'],
  [null, 'nodes: expected an object of addresses and weights, or an array, got null'],
  [Array.from({ length: 1_001 }, () => ({})), 'nodes: expected at most 1000 nodes, got 1001'],
])('nodes %j are refused with place, expectation and what came', (nodes, problem) => {
  expect(readNodes(nodes, { defaultPort: 6379 }).problems).toEqual([problem]);
});

test('without a default a node must name its port', () => {
  expect(readNodes({ a: 1 }).problems).toEqual(['nodes["a"]: expected 1..65535, got nothing']);
  const { problems } = readNodes([{ host: 'a', weight: 1 }]);
  expect(problems).toEqual(['nodes[0].port: expected 1..65535, got nothing']);
});

test('all problems are told at once, under the caller’s path', () => {
  const nodes = [{ host: 'a', port: 0, weight: -1 }, { host: '', weight: 1 }];
  expect(() => parseNodes(nodes, { defaultPort: 1, path: 'upstream.nodes' })).toThrow(
    'upstream.nodes[0].port: expected 1..65535, got 0; '
      + 'upstream.nodes[0].weight: expected 0..1000000, got -1; '
      + 'upstream.nodes[1].host: expected a host name or IP address, got ""',
  );
});

test('a long value is cut in the error', () => {
  const [problem] = readNodes([{ host: 'x y'.repeat(1_000), weight: 1 }], { defaultPort: 1 }).problems;
  expect(problem).toHaveLength('nodes[0].host: expected a host name or IP address, got '.length + 78);
});

test('candidates hold the table’s nodes', () => {
  const table = new NodeTable();
  const candidates = candidatesOf(parseNodes({ 'a:1': 1, 'b:1': 2 }), table);
  expect(candidates.map(({ node, weight }) => [node.address, weight])).toEqual([['a:1', 1], ['b:1', 2]]);
  expect(candidates[0]?.node).toBe(table.get('a:1'));
  for (const { node } of candidates) table.release(node);
  expect(table.size).toBe(0);
});
