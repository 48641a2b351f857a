// Counters, gauges, histograms of one worker. A series becomes an index when configuration is compiled, and
// counting is adding to a typed array. Snapshots of all workers are joined when somebody reads the page.
import { cellBuckets, cellCount, cellOf, defaultBounds, quantile } from './histogram.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';

export type Labels = Readonly<Record<string, string>>;

export interface FamilyOptions {
  /** Bucket bounds in seconds, ascending. Of the first registration of a histogram's name. */
  readonly bounds?: readonly number[];
  /** How values of several workers become one. Default `sum`; `max` for what they have in common. */
  readonly merge?: 'sum' | 'max' | 'min';
}

export interface SeriesSnapshot {
  /** `route="1",command="get"`, escaped and in one order: identifies the series. */
  readonly id: string;
  readonly labels: Labels;
  /** Counter, gauge; the sum in seconds of a histogram. */
  value: number;
  /** Of a histogram: how many fell in each bucket (not cumulative), the last one above all bounds. */
  readonly counts?: Float64Array;
}

export interface FamilySnapshot {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly bounds: readonly number[];
  readonly merge: 'sum' | 'max' | 'min';
  readonly series: SeriesSnapshot[];
}

/** Plain data: travels between threads. */
export type MetricsSnapshot = FamilySnapshot[];

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly bounds: readonly number[];
  readonly buckets: Uint8Array | null;
  readonly merge: 'sum' | 'max' | 'min';
  readonly series: Map<string, Series>;
}

interface Series {
  readonly index: number;
  readonly id: string;
  readonly labels: Labels;
  readonly family: Family;
  /** How often it was asked for and not released. */
  references: number;
}

const namePattern = /^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$/;
const labelPattern = /^[a-zA-Z_][a-zA-Z0-9_]{0,99}$/;
const longestLabel = 200;
/** What is counted beyond the limit of series lands here, unseen; `refusedName` says that it happened. */
const overflow = 0;
const refusedName = 'millrace_metric_series_refused_total';

export class Metrics {
  readonly #families = new Map<string, Family>();
  readonly #maxSeries: number;
  #byIndex: (Series | null)[] = [null];
  #values = new Float64Array(64);
  #cells: (Float64Array | null)[] = [null];
  readonly #free: number[] = [];
  #count = 0;
  readonly #refused: number;

  constructor(maxSeries = 10_000) {
    this.#maxSeries = maxSeries;
    this.#refused = this.counter(refusedName, 'Metric series refused because there were too many.');
  }

  /**
   * The index of a counter. The same name and labels give the same index; each call takes one reference,
   * which `release` gives back. Names are shown as given: write them whole (`millrace_requests_total`).
   */
  counter(name: string, help: string, labels: Labels = {}, options: FamilyOptions = {}): number {
    return this.#series(name, help, 'counter', labels, options);
  }

  gauge(name: string, help: string, labels: Labels = {}, options: FamilyOptions = {}): number {
    return this.#series(name, help, 'gauge', labels, options);
  }

  histogram(name: string, help: string, labels: Labels = {}, options: FamilyOptions = {}): number {
    return this.#series(name, help, 'histogram', labels, options);
  }

  add(index: number, amount: number): void {
    this.#values[index]! += amount;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }

  /** `count` observations of one time, e.g. all requests of a run. */
  observe(index: number, milliseconds: number, count: number): void {
    const cells = this.#cells[index] ?? this.#cellsFor(index);
    cells[cellOf(milliseconds)]! += count;
    this.#values[index]! += milliseconds * count;
  }

  /** Counter, gauge; the sum in ms of a histogram. */
  get(index: number): number {
    return this.#values[index] ?? 0;
  }

  /** The time in ms that the fraction `q` of a histogram's observations did not exceed. */
  quantile(index: number, q: number): number {
    const cells = this.#cells[index];
    return cells == null ? 0 : quantile(cells, q);
  }

  /** Gives one reference back. With the last one the series is gone and the index may be given to another. */
  release(index: number): void {
    const series = this.#byIndex[index];
    if (series == null || --series.references > 0) return;
    const { family } = series;
    family.series.delete(series.id);
    if (family.series.size === 0) this.#families.delete(family.name);
    this.#byIndex[index] = null;
    this.#values[index] = 0;
    this.#cells[index] = null;
    this.#free.push(index);
    this.#count--;
  }

  snapshot(): MetricsSnapshot {
    return [...this.#families.values()].map((family) => {
      const { name, help, type, bounds, merge } = family;
      const series = [...family.series.values()].map((each) => this.#shown(each));
      return { name, help, type, bounds, merge, series };
    });
  }

  #shown({ id, labels, index, family }: Series): SeriesSnapshot {
    const value = this.#values[index]!;
    if (family.buckets === null) return { id, labels, value };
    // In ms inside, in seconds on the page.
    const counts = this.#counts(index, family.buckets, family.bounds.length);
    return { id, labels, value: value / 1000, counts };
  }

  #counts(index: number, buckets: Uint8Array, bounds: number): Float64Array {
    const counts = new Float64Array(bounds + 1);
    const cells = this.#cells[index];
    if (cells != null) for (let cell = 0; cell < cellCount; cell++) counts[buckets[cell]!]! += cells[cell]!;
    return counts;
  }

  #series(name: string, help: string, type: MetricType, labels: Labels, options: FamilyOptions): number {
    const family = this.#families.get(name) ?? makeFamily(name, help, type, options);
    if (family.type !== type) throw new Error(`metric ${name}: expected a ${family.type}, got a ${type}`);
    const id = labelText(labels);
    const known = family.series.get(id);
    if (known !== undefined) {
      known.references++;
      return known.index;
    }
    if (this.#count >= this.#maxSeries) {
      this.add(this.#refused, 1);
      return overflow;
    }
    const index = this.#free.pop() ?? this.#grow();
    const series: Series = { index, id, labels: { ...labels }, family, references: 1 };
    this.#families.set(name, family);
    family.series.set(id, series);
    this.#byIndex[series.index] = series;
    this.#count++;
    return series.index;
  }

  #grow(): number {
    const index = this.#byIndex.length;
    this.#byIndex.push(null);
    this.#cells.push(null);
    if (index >= this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    return index;
  }

  // Made at the first observation: most series of most routes never see one.
  #cellsFor(index: number): Float64Array {
    return (this.#cells[index] = new Float64Array(cellCount));
  }
}

function makeFamily(name: string, help: string, type: MetricType, options: FamilyOptions): Family {
  if (!namePattern.test(name)) throw new Error(`metric name: expected ${namePattern}, got "${name}"`);
  const bounds = type === 'histogram' ? options.bounds ?? defaultBounds : [];
  const buckets = type === 'histogram' ? cellBuckets(bounds) : null;
  return { name, help, type, bounds, buckets, merge: options.merge ?? 'sum', series: new Map() };
}

/** `a="1",b="x\ny"` in the order of the names. */
export function labelText(labels: Labels): string {
  return Object.keys(labels).toSorted().map((name) => {
    if (!labelPattern.test(name)) throw new Error(`label name: expected ${labelPattern}, got "${name}"`);
    const value = labels[name]!;
    return `${name}="${escapeLabel(value.length > longestLabel ? value.slice(0, longestLabel) : value)}"`;
  }).join(',');
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

/** One snapshot of all workers: counters and histograms are added, gauges as their family says. */
export function mergeSnapshots(list: readonly MetricsSnapshot[]): MetricsSnapshot {
  const families = new Map<string, { family: FamilySnapshot; series: SeriesById }>();
  for (const snapshot of list) {
    for (const family of snapshot) {
      let into = families.get(family.name);
      if (into === undefined) {
        into = { family: { ...family, series: [] }, series: new Map() };
        families.set(family.name, into);
      }
      for (const series of family.series) mergeSeries(into.series, series, into.family.merge);
    }
  }
  return [...families.values()].map(({ family, series }) => ({ ...family, series: [...series.values()] }));
}

type SeriesById = Map<string, SeriesSnapshot>;

function mergeSeries(into: SeriesById, from: SeriesSnapshot, merge: FamilySnapshot['merge']): void {
  const known = into.get(from.id);
  if (known === undefined) {
    into.set(from.id, from.counts === undefined ? { ...from } : { ...from, counts: from.counts.slice() });
    return;
  }
  known.value = merge === 'sum' ? known.value + from.value : Math[merge](known.value, from.value);
  if (known.counts === undefined || from.counts === undefined) return;
  for (let i = 0; i < known.counts.length; i++) known.counts[i]! += from.counts[i] ?? 0;
}

/**
 * The text format 0.0.4. Names are shown as they were registered, but `prefix` stands instead of a leading
 * `millrace_`.
 */
export function renderPrometheus(snapshot: MetricsSnapshot, prefix = 'millrace_'): string {
  const lines: string[] = [];
  for (const family of snapshot) {
    if (family.series.length === 0) continue;
    const name = family.name.replace(/^millrace_/, () => prefix);
    lines.push(`# HELP ${name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
    lines.push(`# TYPE ${name} ${family.type}`);
    for (const series of family.series) {
      if (series.counts === undefined) lines.push(`${name}${braces(series.id)} ${numeral(series.value)}`);
      else renderHistogram(lines, name, family.bounds, series, series.counts);
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function renderHistogram(
  lines: string[], name: string, bounds: readonly number[], series: SeriesSnapshot, counts: Float64Array,
): void {
  const before = series.id === '' ? '' : `${series.id},`;
  let total = 0;
  for (let i = 0; i < counts.length; i++) {
    total += counts[i]!;
    lines.push(`${name}_bucket{${before}le="${i < bounds.length ? bounds[i] : '+Inf'}"} ${total}`);
  }
  lines.push(`${name}_sum${braces(series.id)} ${numeral(series.value)}`);
  lines.push(`${name}_count${braces(series.id)} ${total}`);
}

function braces(id: string): string {
  return id === '' ? '' : `{${id}}`;
}

function numeral(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
