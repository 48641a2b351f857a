// npm run bench: Millrace beside the proxies that people use today; npm run bench -- micro: single functions.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArguments, usage, type BenchOptions } from './arguments.ts';
import { compare } from './compare.ts';
import { memoryRows, syscallRow } from './footprint.ts';
import { Load } from './load.ts';
import { machine } from './machine.ts';
import { micro } from './micro.ts';
import { fromPackage, fromSources, plainRoute, routeWithPlugins } from './millrace.ts';
import { peers, versionOf, type Peer } from './peers.ts';
import type { Proxy, Running } from './proxy.ts';
import { benchRoutes } from './routes.ts';
import { memory, scenarios, syscalls } from './scenarios.ts';
import { markdownTable, publish, textTable, type Row } from './table.ts';

const root = join(import.meta.dirname, '..', '..');
const proxyCpu = 0;
const loadCpu = 1;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

const [first, ...rest] = process.argv.slice(2);
try {
  if (first === 'routes') await benchRoutes(Number(rest[0] ?? 10_000));
  else process.exitCode = first === 'micro' ? micro(rest) : await bench(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

async function bench(args: string[]): Promise<number> {
  const options = parseArguments(args);
  if (options.help) {
    console.log(usage);
    return 0;
  }
  if (cpus().length < 2) throw new Error('two processors are needed: one for the proxy, one for the load');
  if (options.dist) build();
  const { installed, versions } = findPeers();
  const about = machine(versions, ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '));
  console.log(about.join('\n'));
  const rows = await measure(installed, options);
  console.log(`\n${textTable(rows)}`);
  if (options.markdown) {
    const text = `${markdownTable(rows)}\n\n${about.map((line) => `- ${line}`).join('\n')}`;
    publish(join(root, 'docs', 'performance.md'), text);
    console.log('\nwritten to docs/performance.md');
  }
  return 0;
}

async function measure(others: readonly Proxy[], options: BenchOptions): Promise<Row[]> {
  const program = options.dist ? fromPackage : fromSources;
  const [plain, plugged] = [plainRoute(program), routeWithPlugins(program)];
  const names = others.map(({ name }) => name);
  const base = names[0] ?? null;
  await using load = await Load.start(loadCpu);
  const wants = ({ id }: { readonly id: string }): boolean => options.only.includes(id);
  // Memory first, while nothing else runs; it stands last in the table.
  const last = wants(memory) ? await memoryRows(plain.name, [...others, plain], load, proxyCpu) : [];
  const running = new Map<string, Running>();
  const start = async (proxies: readonly Proxy[]): Promise<void> => {
    for (const proxy of proxies) {
      if (!running.has(proxy.name)) running.set(proxy.name, await proxy.start(load.port, proxyCpu));
    }
  };
  const rows: Row[] = [];
  for (const scenario of scenarios.filter(wants)) {
    const subject = scenario.plugins ? plugged : plain;
    await start([...others, subject]);
    // The targets are ratios to nutcracker; to another peer they mean nothing.
    const contest = { ...options, load, running, base, comparable: base === 'nutcracker' };
    rows.push(...await compare(scenario, subject.name, names, contest));
  }
  if (wants(syscalls)) {
    await start([...others, plain]);
    rows.push(await syscallRow(plain.name, running, load));
  }
  for (const { child } of running.values()) await child.stop();
  return [...rows, ...last];
}

function findPeers(): { readonly installed: readonly Peer[]; readonly versions: readonly string[] } {
  const found = peers.map((peer) => ({ peer, version: versionOf(peer) }));
  for (const { peer, version } of found) {
    if (version !== null) continue;
    console.log(`${peer.name} is not installed and left out (Debian: apt-get install ${peer.package})`);
  }
  const installed = found.filter(({ version }) => version !== null);
  return {
    installed: installed.map(({ peer }) => peer),
    versions: installed.map(({ peer, version }) => `${peer.name} ${version}`),
  };
}

function build(): void {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs')], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the package could not be built');
}
