// How many series listeners and nodes may make, and that they go.
import { expect, test } from 'vitest';
import { Metrics } from '../../core/metrics.ts';
import { StreamMetrics } from '../../core/stream-metrics.ts';
import { Node } from '../../core/upstream/node.ts';

function labelsOf(metrics: Metrics, name: string): Readonly<Record<string, string>>[] {
  return metrics.snapshot().find((family) => family.name === name)?.series.map(({ labels }) => labels) ?? [];
}

function countOf(metrics: Metrics): number {
  return metrics.snapshot().reduce((sum, { series }) => sum + series.length, 0);
}

test('beyond 500 listeners they count together, and all series go with them', () => {
  const metrics = new Metrics();
  const streams = new StreamMetrics(metrics);
  const before = countOf(metrics);
  const open = Array.from({ length: 700 }, (_, i) => streams.listener(`127.0.0.1:${i + 1}`));
  for (const listener of open) listener.opened();
  const shown = metrics.snapshot().find(({ name }) => name === 'apisix_stream_active_connections')!.series;
  expect(shown).toHaveLength(501);
  expect(shown.find(({ labels }) => labels['listen_addr'] === 'other')!.value).toBe(200);
  for (const listener of open) {
    listener.ended('CLIENT_CLOSED', null);
    listener.closed();
    listener.release();
  }
  expect(countOf(metrics)).toBe(before);
  // There is room for others.
  streams.listener('127.0.0.1:9999');
  expect(labelsOf(metrics, 'apisix_stream_active_connections')).toEqual([{ listen_addr: '127.0.0.1:9999' }]);
});

test('beyond 1000 series with a node it is not named; nodes that go make room, and one that is gone is not named', () => {
  const metrics = new Metrics();
  const streams = new StreamMetrics(metrics);
  const listener = streams.listener('127.0.0.1:1');
  const nodes = Array.from({ length: 1500 }, (_, i) => new Node('10.0.0.1', i + 1));
  for (const node of nodes) listener.ended('CLIENT_CLOSED', node);
  const named = (): string[] => labelsOf(metrics, 'apisix_stream_status').map(({ node }) => node!).filter((node) => node !== '');
  expect(named()).toHaveLength(1000);
  expect(metrics.snapshot().find(({ name }) => name === 'apisix_stream_status')!.series.reduce((sum, { value }) => sum + value, 0)).toBe(1500);
  streams.forgetNodes((address) => address !== '' && address !== '10.0.0.1:1');
  expect(named()).toEqual(['10.0.0.1:1']);
  nodes[1]!.close();
  for (const node of nodes.slice(1, 3)) listener.ended('CLIENT_CLOSED', node);
  expect(named()).toEqual(['10.0.0.1:1', '10.0.0.1:3']);
  for (const node of nodes) node.close();
});

test('who counts after the last one let go disturbs nobody', () => {
  const metrics = new Metrics();
  const streams = new StreamMetrics(metrics);
  const old = streams.listener('127.0.0.1:1');
  old.release();
  const next = metrics.counter('a_total', 'A.');
  old.opened();
  old.passed(1, 2, 3, 4);
  old.ended('CLIENT_CLOSED', null);
  old.closed();
  expect(metrics.get(next)).toBe(0);
  expect(labelsOf(metrics, 'apisix_stream_active_connections')).toEqual([]);
  streams.listener('127.0.0.1:1').opened();
  expect(labelsOf(metrics, 'apisix_stream_active_connections')).toEqual([{ listen_addr: '127.0.0.1:1' }]);
});
