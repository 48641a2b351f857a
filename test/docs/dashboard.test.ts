// The Grafana dashboard asks for metrics that there are, with labels that they have.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readPage, rowsOf } from './page.ts';

interface Panel { readonly id: number; readonly title: string; readonly gridPos: { readonly x: number; readonly y: number }; readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[] }

const dashboard = JSON.parse(readFileSync('deploy/grafana/millrace.json', 'utf8')) as { readonly panels: readonly Panel[] };

/** Labels by metric, of the page that another test compares with a running Millrace. */
const labels = new Map(readPage('docs/metrics.md').split(/^## /m).slice(1)
  .flatMap((section) => rowsOf(section, 'Metric', 'Type', 'Labels'))
  .map(([name = '', type, list = '']) => [name.replaceAll('`', ''), { type, labels: list.replaceAll(/[`\s]/g, '').split(',') }] as const));

test.each(dashboard.panels)('$title', ({ targets }) => {
  for (const { expr, legendFormat } of targets) {
    const names = [...expr.matchAll(/\b(?:millrace|nodejs|process|apisix)_[a-z_]+/g)].map(([name]) => name);
    expect(names.length, expr).toBeGreaterThan(0);
    for (const name of names) {
      const metric = labels.get(name) ?? labels.get(name.replace(/_(bucket|sum|count)$/, ''));
      expect(metric, name).toBeDefined();
      // A counter is looked at as a rate, a gauge as it is.
      if (metric!.type === 'counter') expect(expr).toContain('rate(');
      const asked = [...expr.matchAll(/by \((\w+)\)|(\w+)=~/g)].map(([, by, matched]) => by ?? matched!).filter((label) => label !== 'le');
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
      for (const label of [...asked, ...shown]) expect(metric!.labels, `${name}: ${label}`).toContain(label);
    }
  }
});

test('each panel has a place and a number of its own', () => {
  const places = dashboard.panels.map(({ gridPos: { x, y } }) => `${x} ${y}`);
  expect(new Set(places).size).toBe(places.length);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(places.length);
});
