import { describe, expect, test } from 'vitest';
import { cellCount, cellEnd, cellOf } from '../../core/histogram.ts';
import { mergeSnapshots, Metrics, renderPrometheus } from '../../core/metrics.ts';
import { watchProcess } from '../../core/process-metrics.ts';

function page(metrics: Metrics): string[] {
  return renderPrometheus(metrics.snapshot()).split('\n').filter((line) => !line.includes('series_refused'));
}

describe('series', () => {
  test('the same name and labels give the same index, in whatever order the labels are written', () => {
    const metrics = new Metrics();
    const first = metrics.counter('a_total', 'A.', { route: '1', command: 'get' });
    expect(metrics.counter('a_total', 'A.', { command: 'get', route: '1' })).toBe(first);
    expect(metrics.counter('a_total', 'A.', { command: 'set', route: '1' })).not.toBe(first);
  });

  test('a name keeps its type', () => {
    const metrics = new Metrics();
    metrics.counter('a_total', 'A.');
    expect(() => metrics.gauge('a_total', 'A.')).toThrow('metric a_total: expected a counter, got a gauge');
  });

  test('a name that Prometheus would refuse is refused', () => {
    expect(() => new Metrics().counter('a-b', 'A.')).toThrow('metric name');
    expect(() => new Metrics().counter('a', 'A.', { 'b-c': '' })).toThrow('label name');
  });

  test('a released series is gone, and its index serves another from zero', () => {
    const metrics = new Metrics();
    const old = metrics.counter('a_total', 'A.', { route: 'old' });
    metrics.add(old, 5);
    metrics.release(old);
    expect(page(metrics).join('\n')).not.toContain('a_total');
    const next = metrics.counter('b_total', 'B.');
    expect(next).toBe(old);
    expect(metrics.get(next)).toBe(0);
  });

  test('a series that a new plan took before the old plan released it keeps its count', () => {
    const metrics = new Metrics();
    const old = metrics.counter('a_total', 'A.', { route: '1' });
    metrics.add(old, 5);
    const next = metrics.counter('a_total', 'A.', { route: '1' });
    metrics.release(old);
    metrics.add(next, 1);
    expect(page(metrics)).toContain('a_total{route="1"} 6');
  });

  test('beyond the limit nothing grows, and the page says that series were refused', () => {
    const metrics = new Metrics(100);
    for (let i = 0; i < 1_000_000; i++) metrics.add(metrics.counter('a_total', 'A.', { name: `n${i}` }), 1);
    const text = renderPrometheus(metrics.snapshot());
    expect(text.match(/^a_total\{/gm)).toHaveLength(99);
    expect(text).toContain('millrace_metric_series_refused_total 999901\n');
  });

  test('an overflowing histogram does not disturb others', () => {
    const metrics = new Metrics(2);
    const known = metrics.histogram('a_seconds', 'A.', { route: '1' });
    metrics.observe(metrics.histogram('a_seconds', 'A.', { route: '2' }), 5, 1);
    metrics.observe(known, 5, 1);
    expect(page(metrics)).toContain('a_seconds_count{route="1"} 1');
  });
});

describe('histogram', () => {
  test('every microsecond lies in a cell that is at most 3 % wide, and cells rise with it', () => {
    let before = -1;
    for (let us = 0; us < 2 ** 27; us = us < 5000 ? us + 1 : Math.floor(us * 1.0007)) {
      const cell = cellOf(us / 1000 + 1e-9);
      expect(cell).toBeGreaterThanOrEqual(before);
      expect(cellEnd(cell)).toBeGreaterThanOrEqual(us);
      expect(cellEnd(cell)).toBeLessThanOrEqual(us * (1 + 1 / 32) + 1);
      before = cell;
    }
    expect(before).toBeLessThan(cellCount);
  });

  test('odd times count somewhere harmless', () => {
    for (const time of [-1, Number.NaN]) expect(cellOf(time)).toBe(0);
    for (const time of [1e9, Infinity]) expect(cellOf(time)).toBe(cellCount - 1);
  });

  test('the page shows cumulative buckets, sum and count', () => {
    const metrics = new Metrics();
    const index = metrics.histogram('a_seconds', 'A.', { route: '1' }, { bounds: [0.001, 0.1, 0.5] });
    metrics.observe(index, 0.5, 2);
    metrics.observe(index, 80, 1);
    metrics.observe(index, 300, 1);
    metrics.observe(index, 3000, 1);
    expect(page(metrics)).toEqual([
      '# HELP a_seconds A.', '# TYPE a_seconds histogram',
      'a_seconds_bucket{route="1",le="0.001"} 2', 'a_seconds_bucket{route="1",le="0.1"} 3',
      'a_seconds_bucket{route="1",le="0.5"} 4', 'a_seconds_bucket{route="1",le="+Inf"} 5',
      'a_seconds_sum{route="1"} 3.381', 'a_seconds_count{route="1"} 5', '',
    ]);
  });

  test('quantiles are within 3 %', () => {
    const metrics = new Metrics();
    const index = metrics.histogram('a_seconds', 'A.');
    for (let ms = 1; ms <= 1000; ms++) metrics.observe(index, ms, 1);
    expect(metrics.quantile(index, 0.5)).toBeGreaterThanOrEqual(500);
    expect(metrics.quantile(index, 0.5)).toBeLessThan(516);
    expect(metrics.quantile(index, 0.99)).toBeLessThan(1025);
    expect(metrics.quantile(metrics.histogram('b_seconds', 'B.'), 0.5)).toBe(0);
  });
});

describe('page', () => {
  test('HELP and TYPE stand once per name, and values are escaped', () => {
    const metrics = new Metrics();
    metrics.set(metrics.gauge('millrace_a', 'back\\slash\nline', { name: 'q"b\\n\n' }), 1.5);
    metrics.set(metrics.gauge('millrace_a', 'ignored', { name: 'x' }), -2);
    expect(page(metrics)).toEqual([
      '# HELP millrace_a back\\\\slash\\nline', '# TYPE millrace_a gauge',
      'millrace_a{name="q\\"b\\\\n\\n"} 1.5', 'millrace_a{name="x"} -2', '',
    ]);
  });

  test('the prefix can be another', () => {
    const metrics = new Metrics();
    metrics.counter('millrace_a_total', 'A.');
    metrics.counter('apisix_b_total', 'B.');
    const text = renderPrometheus(metrics.snapshot(), 'mr_');
    expect(text).toContain('\nmr_a_total 0\n');
    expect(text).toContain('\napisix_b_total 0\n');
  });

  test('workers are added up: counters and histograms exactly, gauges as asked', () => {
    const workers = [1, 2].map((n) => {
      const metrics = new Metrics();
      metrics.add(metrics.counter('a_total', 'A.', { route: '1' }), n);
      metrics.add(metrics.counter('only_total', 'A.', { worker: `${n}` }), n);
      metrics.set(metrics.gauge('open', 'A.'), n);
      metrics.set(metrics.gauge('lag', 'A.', {}, { merge: 'max' }), n);
      metrics.set(metrics.gauge('left', 'A.', {}, { merge: 'min' }), n);
      metrics.observe(metrics.histogram('a_seconds', 'A.'), 4, n);
      return structuredClone(metrics.snapshot());
    });
    const text = renderPrometheus(mergeSnapshots(workers));
    for (const line of [
      'a_total{route="1"} 3', 'only_total{worker="1"} 1', 'only_total{worker="2"} 2', 'open 3', 'lag 2',
      'left 1', 'a_seconds_bucket{le="0.002"} 0', 'a_seconds_bucket{le="0.005"} 3', 'a_seconds_count 3',
      'a_seconds_sum 0.012',
    ]) expect(text).toContain(`${line}\n`);
  });

  test('the process tells its memory, CPU and event loop', () => {
    const metrics = new Metrics();
    const watched = watchProcess(metrics);
    watched.update();
    const text = renderPrometheus(metrics.snapshot());
    watched.close();
    expect(Number(/^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(10_000_000);
    expect(Number(/^process_cpu_seconds_total ([\d.]+)$/m.exec(text)?.[1])).toBeGreaterThan(0);
    expect(text).toMatch(/^nodejs_eventloop_lag_seconds [\d.e-]+$/m);
  });
});
