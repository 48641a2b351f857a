import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileSource, type ConfigEvent } from '../../../core/config/file.ts';
import type { Config } from '../../../core/config/source.ts';
import { bestTimes } from '../../support/best-time.ts';
import { knownThings } from './references.ts';

let parent = '';
let folder = '';
let path = '';
let events: ConfigEvent[] = [];
let source: FileSource | undefined;

beforeEach(() => {
  parent = folder = mkdtempSync(join(tmpdir(), 'millrace-file-'));
  path = join(folder, 'resources.yaml');
  events = [];
});
/** What is promised is a second for each saving; see `bestTimes`. Each attempt has a folder of its own. */
async function liveWithinASecond(savings: () => Promise<number[]>): Promise<void> {
  expect(Math.max(...await bestTimes(1000, async () => {
    await source?.close();
    folder = mkdtempSync(join(parent, 'attempt-'));
    path = join(folder, 'resources.yaml');
    events = [];
    return savings();
  }))).toBeLessThan(1000);
}

afterEach(async () => {
  await source?.close();
  rmSync(parent, { recursive: true, force: true });
});

const text = (retries: number): string =>
  `upstreams:\n  - id: u\n    type: memory\n    retries: ${retries}\n`;
const retries = (config: Config | undefined): unknown =>
  config?.resources.upstreams.get('u')?.value['retries'];

async function start(at = path): Promise<FileSource> {
  source = await FileSource.open({
    path: at, references: knownThings(), environment: {}, report: (event) => void events.push(event),
  });
  return source;
}

/** The milliseconds until the configuration shows the value. */
async function until(condition: () => boolean): Promise<number> {
  const started = performance.now();
  while (!condition()) {
    if (performance.now() - started > 10_000) throw new Error(`not within 10 s; ${JSON.stringify(events)}`);
    await sleep(5);
  }
  return performance.now() - started;
}

test('a file is read at the start and each saving of it is live within a second', () => liveWithinASecond(async () => {
  writeFileSync(path, text(1));
  const file = await start();
  expect(retries(file.config)).toBe(1);
  const times: number[] = [];
  for (let n = 2; n < 6; n++) {
    writeFileSync(path, text(n));
    times.push(await until(() => retries(file.config) === n));
    await sleep(n * 40);
  }
  expect(events.filter(({ code }) => code === 'CONFIG_RELOADED')).toHaveLength(5);
  return times;
}));

test('a file that comes later is found', () => liveWithinASecond(async () => {
  const file = await start();
  expect(events).toMatchObject([{ code: 'CONFIG_UNREADABLE', level: 'error',
    text: expect.stringContaining(path) }]);
  writeFileSync(path, text(1));
  return [await until(() => retries(file.config) === 1)];
}));

test('a file in a folder that comes later is found', () => liveWithinASecond(async () => {
  const late = join(folder, 'late', 'resources.yaml');
  const file = await start(late);
  expect(events).toMatchObject([{ code: 'CONFIG_UNREADABLE', text: expect.stringContaining(late) }]);
  mkdirSync(join(folder, 'late'));
  writeFileSync(late, text(1));
  return [await until(() => retries(file.config) === 1)];
}));

test('renaming a new file over the old one is seen, again and again', () => liveWithinASecond(async () => {
  writeFileSync(path, text(1));
  const file = await start();
  const times: number[] = [];
  for (let n = 2; n < 6; n++) {
    writeFileSync(`${path}.tmp`, text(n));
    renameSync(`${path}.tmp`, path);
    times.push(await until(() => retries(file.config) === n));
  }
  expect(events.filter(({ code }) => code === 'CONFIG_RELOADED')).toHaveLength(5);
  return times;
}));

test('deleting keeps the last good configuration, creating it again is seen', () => liveWithinASecond(async () => {
  writeFileSync(path, text(1));
  const file = await start();
  const { config } = file;
  unlinkSync(path);
  await until(() => events.some(({ code }) => code === 'CONFIG_UNREADABLE'));
  await sleep(700);
  expect(file.config).toBe(config);
  expect(events.filter(({ code }) => code === 'CONFIG_UNREADABLE')).toHaveLength(1);
  writeFileSync(path, text(2));
  return [await until(() => retries(file.config) === 2)];
}));

test('a ConfigMap\'s swap of symbolic links is seen, again and again', () => liveWithinASecond(async () => {
  const version = (name: string, n: number): void => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'resources.yaml'), text(n));
    symlinkSync(name, join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
  };
  version('..v1', 1);
  symlinkSync(join('..data', 'resources.yaml'), path);
  const file = await start();
  expect(retries(file.config)).toBe(1);
  const times: number[] = [];
  for (const n of [2, 3, 4, 5]) {
    version(`..v${n}`, n);
    rmSync(join(folder, `..v${n - 1}`), { recursive: true });
    times.push(await until(() => retries(file.config) === n));
  }
  return times;
}));

test('half a file changes nothing and is one line in the log', async () => {
  writeFileSync(path, `${text(1)}#END\n`);
  const file = await start();
  const { config } = file;
  writeFileSync(path, text(2));
  await until(() => events.some(({ level }) => level === 'error'));
  await sleep(300);
  expect(file.config).toBe(config);
  expect(file.problems.map((each) => each.message)).toEqual([
    'the end mark #END is missing, which the file had before: taken as half written',
  ]);
  expect(events.filter(({ level }) => level === 'error')).toHaveLength(1);
  writeFileSync(path, `${text(2)}#END\n`);
  await until(() => retries(file.config) === 2);
  expect(file.problems).toEqual([]);
});

test('a wrong item keeps its last good version, is reported with its place, and listeners hear only real changes', async () => {
  writeFileSync(path, text(1));
  const file = await start();
  const heard: Config[] = [];
  file.onChange((config) => heard.push(config));
  writeFileSync(path, text(-1));
  await until(() => file.problems.length > 0);
  expect(events.at(-1)).toEqual({
    code: 'CONFIG_INVALID', level: 'error',
    text: 'resources.yaml:4:14: upstreams[0].retries: expected 0..255, got -1; this item keeps its last good version',
  });
  expect([heard, retries(file.config)]).toEqual([[], 1]);
});

test('of ten changes per second none makes a wrong configuration, and the last one wins within a second',
  () => liveWithinASecond(async () => {
  writeFileSync(path, `${text(0)}#END\n`);
  const file = await start();
  const seen: unknown[] = [];
  file.onChange((config) => seen.push(retries(config)));
  for (let n = 1; n <= 30; n++) {
    // Slowly, in two halves.
    const whole = `${text(n)}#END\n`;
    writeFileSync(path, whole.slice(0, 20));
    await sleep(20);
    writeFileSync(path, whole);
    await sleep(80);
  }
  const took = await until(() => retries(file.config) === 30);
  expect(seen.length).toBeGreaterThan(2);
  expect(seen).toEqual(seen.toSorted((a, b) => Number(a) - Number(b)));
  return [took];
}));

test('reload looks again at a file that did not change, because what it names may exist now', async () => {
  writeFileSync(path, 'stream_routes:\n  - id: r\n    upstream: { type: memory }\n    plugins: { later: {} }\n');
  let exists = false;
  const references = { ...knownThings(), checkPlugin: () => (exists ? [] : undefined) };
  source = await FileSource.open({ path, references, environment: {}, report: (event) =>
    void events.push(event) });
  expect(source.problems.map((each) => each.text)).toEqual(['unknown plugin [later]']);
  exists = true;
  await source.reload();
  expect([source.problems, source.config.resources.stream_routes.size]).toEqual([[], 1]);
});

test.each([['a folder', (): void => mkdirSync(path)], ['bytes that are no UTF-8', (): void =>
  writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe]))]])(
  '%s in place of the file is reported and changes nothing', async (_what, make) => {
    make();
    const file = await start();
    expect(events).toMatchObject([{ code: 'CONFIG_UNREADABLE' }]);
    expect(file.config.revision).toBe(0);
  });

test('a closed source no longer looks', async () => {
  writeFileSync(path, text(1));
  const file = await start();
  await file.close();
  writeFileSync(path, text(2));
  await sleep(700);
  expect(retries(file.config)).toBe(1);
});
