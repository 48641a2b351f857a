// Reads the text format 0.0.4 as strictly as a scraper may: throws at what is not in it.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;
const oneLabel = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)/y;
const parts = ['_bucket', '_sum', '_count'];

export function readPrometheusText(text: string): MetricFamily[] {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families: { name: string; type: string; help: string; samples: Sample[] }[] = [];
  const seen = new Set<string>();
  const lines = text.slice(0, -1).split('\n');
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const help = /^# HELP (\S+) ((?:[^\\]|\\[\\n])*)$/.exec(line);
    if (help !== null) {
      const [, name = '', words = ''] = help;
      const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(lines[++at] ?? '');
      if (type?.[1] !== name) throw new Error(`${name}: expected its TYPE behind its HELP, got ${lines[at]}`);
      if (families.some((family) => family.name === name)) throw new Error(`${name}: a family twice`);
      families.push({ name, type: type[2]!, help: words, samples: [] });
      continue;
    }
    const sample = readSample(line);
    const family = families.at(-1);
    const own = family?.type === 'histogram' ? parts.map((part) => family.name + part) : [family?.name];
    if (family === undefined || !own.includes(sample.name)) throw new Error(`stands behind another family: ${line}`);
    const id = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).toSorted())}`;
    if (seen.has(id)) throw new Error(`a series twice: ${line}`);
    seen.add(id);
    family.samples.push(sample);
  }
  for (const family of families) check(family);
  return families;
}

function readSample(line: string): Sample {
  const match = sampleLine.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = '', inner = '', value = ''] = match;
  const labels: Record<string, string> = {};
  for (oneLabel.lastIndex = 0; oneLabel.lastIndex < inner.length;) {
    const at = oneLabel.lastIndex;
    const [, label = '', escaped = ''] = oneLabel.exec(inner) ?? [];
    if (label === '' || Object.hasOwn(labels, label)) throw new Error(`labels, from ${at}: ${line}`);
    labels[label] = escaped.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
  }
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) };
}

function check({ name, type, samples }: MetricFamily): void {
  if (samples.length === 0) throw new Error(`${name}: a family without series`);
  if (type === 'counter') for (const { value } of samples) if (!(value >= 0)) throw new Error(`${name}: a counter is ${value}`);
  if (type !== 'histogram') return;
  const rest = (labels: Sample['labels']): string =>
    JSON.stringify(Object.entries(labels).filter(([label]) => label !== 'le').toSorted());
  for (const { labels, value: total } of samples.filter((sample) => sample.name === `${name}_count`)) {
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket` && rest(sample.labels) === rest(labels));
    const bounds = buckets.map((sample) => Number(sample.labels['le']!.replace('Inf', 'Infinity')));
    if (bounds.at(-1) !== Infinity || buckets.at(-1)!.value !== total) throw new Error(`${name}: the last bucket holds all`);
    for (let i = 1; i < buckets.length; i++) {
      if (bounds[i]! <= bounds[i - 1]! || buckets[i]!.value < buckets[i - 1]!.value) throw new Error(`${name}: buckets rise`);
    }
  }
}
