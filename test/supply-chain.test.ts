// What comes from elsewhere (O11): every package of the lock file has a checksum, comes from the registry, runs nothing when it is
// installed, and may be passed on under a licence that we know.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { foreignWriters } from '../core/foreign-writers.ts';
import { temporaryFolder } from './admin/admin.ts';
import { Place } from './cli/millrace.ts';

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly hasInstallScript?: boolean;
  readonly link?: boolean;
  readonly inBundle?: boolean;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

const read = (file: string): any => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'));
const lock = read('package-lock.json') as { readonly lockfileVersion: number; readonly packages: Readonly<Record<string, Package>> };
const own = read('package.json') as Readonly<Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Readonly<Record<string, string>>>>;
const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
const shipped = packages.filter(([, each]) => each.dev !== true && each.devOptional !== true && each.optional !== true);
const named = (wrong: readonly (readonly [string, Package])[]): string[] => wrong.map(([path]) => path);

describe('the lock file', () => {
  test('has a checksum of each package that is worth its name', () => {
    expect(packages.length).toBeGreaterThan(100);
    expect(named(packages.filter(([, { integrity = '' }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity)))).toEqual([]);
  });

  test('takes every package from the registry: no folder, no repository, no other address', () => {
    const elsewhere = packages.filter(([, { resolved, link, inBundle }]) =>
      link === true || inBundle === true || (resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/')));
    expect(named(elsewhere)).toEqual([]);
  });

  test('has no package that runs something when it is installed, but for those that were looked at', () => {
    // Optional accelerator of a test's client; it only picks a prebuilt binary.
    const known = ['node_modules/msgpackr/node_modules/msgpackr-extract'];
    expect(named(packages.filter(([path, { hasInstallScript }]) => hasInstallScript === true && !known.includes(path)))).toEqual([]);
  });

  test('what is shipped is little, and may be passed on', () => {
    expect(Object.keys(own.dependencies).length).toBeLessThanOrEqual(12);
    expect(shipped.length).toBeLessThanOrEqual(80);
    const free = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'Unlicense'];
    expect(named(shipped.filter(([, { license = 'none' }]) => !free.includes(license)))).toEqual([]);
    // Tools that are not passed on may ask for more, but must say what.
    expect(named(packages.filter(([, { license = 'none' }]) => ![...free, 'MPL-2.0'].includes(license)))).toEqual([]);
  });

  test('is what package.json asks for, to the digit', () => {
    const asked = { ...own.dependencies, ...own.devDependencies, ...own.optionalDependencies };
    const versions = Object.entries(asked).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
    expect(versions).toEqual([]);
    const other = Object.entries(asked).filter(([name, version]) => lock.packages[`node_modules/${name}`]?.version !== version);
    expect(other).toEqual([]);
  });
});

describe('folders of plugins', () => {
  test('one that everybody may write, or a file in one, is warned about with its path', () => {
    using folder = temporaryFolder();
    const [open, closed] = ['open', 'closed'].map((name) => join(folder.path, name)) as [string, string];
    for (const path of [open, closed]) {
      mkdirSync(path, { mode: 0o755 });
      writeFileSync(join(path, 'mine.ts'), 'export default {};');
      chmodSync(join(path, 'mine.ts'), 0o644);
    }
    const plugins = [open, closed].map((path) => ({ kind: 'plugin' as const, path }));
    expect(foreignWriters([...plugins, { kind: 'protocol', path: join(folder.path, 'none') }])).toEqual([]);
    chmodSync(open, 0o777);
    chmodSync(join(closed, 'mine.ts'), 0o666);
    expect(foreignWriters(plugins)).toEqual([open, join(closed, 'mine.ts')].map(
      (path) => `plugins: everybody may write ${path}, and what is written there runs in this process; chmod o-w`));
  });

  test('the command says so, too', async () => {
    using place = new Place();
    place.write('millrace.yaml', 'listeners: [{ port: 9101, protocol: redis }]\nplugins: [mine]\n');
    mkdirSync(join(place.path, 'mine'));
    chmodSync(join(place.path, 'mine'), 0o777);
    const { code, out, err } = await place.run('check');
    expect(out + err).toMatch(/plugins: everybody may write .*mine/);
    expect(code).toBe(0);
  });
});
