// Who may import whom. The table is section "Who may import whom" of docs/architecture.md.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

interface Import {
  readonly from: string;
  /** A path from the project's folder, or a package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const files = globSync('{core,plugins,protocols,admin}/**/*.ts');
const imports: readonly Import[] = files.flatMap((from) => importsOf(from));
const packageJson = JSON.parse(readFileSync('package.json', 'utf8')) as Record<'dependencies' | 'peerDependencies', Record<string, string>>;
const packages = { ...packageJson.dependencies, ...packageJson.peerDependencies };

function importsOf(from: string): Import[] {
  // What stands in a template (of a file that `millrace new` writes) is text.
  const source = readFileSync(from, 'utf8').replaceAll(/`[^`]*`/g, '``');
  const found = source.matchAll(/^\s*(?:import|export)\s(type\s)?[^'"`;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm);
  return [...found].map(([, type, named, bare, dynamic]) => {
    const target = named ?? bare ?? dynamic ?? '';
    return { from, to: target.startsWith('.') ? join(dirname(from), target) : target, typeOnly: type !== undefined };
  });
}

const inProject = ({ to }: Import): boolean => /^(core|plugins|protocols|admin)\//.test(to);
const show = ({ from, to }: Import): string => `${from} → ${to}`;

/** What plugins may use of the core: the files that `millrace` exports something of. */
const pluginApi = imports.filter(({ from }) => from === 'core/api.ts').map(({ to }) => to);

describe('imports', () => {
  test.for<{ who: string; from: RegExp; may: (each: Import) => boolean }>([
    {
      who: 'the core knows no plugin, no protocol and no admin; the composition root loads the last',
      from: /^core\//,
      may: ({ from, to }) => to.startsWith('core/') || (from === 'core/app.ts' && to === 'admin/server.ts'),
    },
    {
      who: 'upstreams know nothing of configuration sources',
      from: /^core\/upstream\//,
      may: ({ to }) => !to.startsWith('core/config/'),
    },
    {
      who: 'configuration sources know checks, errors and times, and nothing of what runs',
      from: /^core\/config\//,
      may: ({ to }) => to.startsWith('core/config/') || ['problem', 'schema', 'secret-reference', 'errors', 'clock', 'log', 'tls/pem'].some((name) => to === `core/${name}.ts`),
    },
    {
      who: 'plugins use what a user\'s own may use, their own parts, and the logger\'s',
      from: /^plugins\//,
      may: ({ from, to }) => pluginApi.includes(to) || to.startsWith('plugins/logger/')
        || to.startsWith(`plugins/${from.split('/')[1]!.replace(/\.ts$/, '')}/`),
    },
    {
      who: 'a protocol uses the core and itself',
      from: /^protocols\//,
      may: ({ from, to }) => to.startsWith('core/') || to.startsWith(from.split('/').slice(0, 2).join('/')),
    },
    {
      who: 'the admin API knows resources, schemas and the plane, and nothing of sessions, requests and upstreams',
      from: /^admin\//,
      may: ({ to, typeOnly }) => to.startsWith('admin/') || to.startsWith('core/config/')
        || ['schema', 'endpoint', 'editor-schemas', 'metrics', 'plane', 'problem', 'errors', 'log', 'registry', 'version', 'glob', 'tls/admin-certificate'].some((name) => to === `core/${name}.ts`)
        || (typeOnly && ['core/settings.ts', 'core/settings-admin.ts'].includes(to))
        || (typeOnly && ['core/inspect.ts', 'core/upstream-status.ts'].includes(to)) || (typeOnly && ['core/plugin.ts', 'core/protocol.ts'].includes(to)),
    },
  ])('$who', ({ from, may }) => {
    const wrong = imports.filter((each) => from.test(each.from) && inProject(each) && !may(each));
    expect(wrong.map(show)).toEqual([]);
  });

  test('every package that is imported is a dependency', () => {
    const names = imports.filter(({ to }) => !to.startsWith('node:') && !/^(core|plugins|protocols|admin|millrace)(\/|$)/.test(to));
    expect(names.length).toBeGreaterThan(5);
    const unknown = names.filter(({ to }) => !Object.hasOwn(packages, to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/')));
    expect(unknown.map(show)).toEqual([]);
  });

  test.for([
    ['tsyringe', /^core\/app\.ts$/], ['reflect-metadata', /^core\/app\.ts$/], ['fastify', /^admin\//],
    ['@platformatic/kafka', /^plugins\/kafka-logger\//], ['generic-pool', /^protocols\/redis\/link-set\.ts$/], ['commander', /^core\/cli\//],
  ] as const)('%s is used where it belongs, and nowhere else', ([name, where]) => {
    const users = imports.filter(({ to, typeOnly }) => to === name && !typeOnly);
    expect(users.length).toBeGreaterThan(0);
    expect(users.filter(({ from }) => !where.test(from)).map(show)).toEqual([]);
  });

  test('imports carry the ending of the file, and every file that is named exists', () => {
    const missing = imports.filter((each) => inProject(each) && !files.includes(each.to) && !each.to.endsWith('.json'));
    expect(missing.map(show)).toEqual([]);
  });
});

test('every file and folder that docs/architecture.md names exists', () => {
  const page = readFileSync('docs/architecture.md', 'utf8');
  const paths = [...page.matchAll(/`((?:core|plugins|protocols|admin|test|docs|scripts)\/[\w./-]*)`/g)].map(([, path]) => path!);
  expect(paths.length).toBeGreaterThan(30);
  expect(paths.filter((path) => globSync(path).length === 0)).toEqual([]);
});
