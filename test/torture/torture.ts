// The torture test: many clients with random pipelines against one proxy, while everything around them goes wrong.
// Every reply is judged against what its client knows.
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dice } from '../support/dice.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';
import { occupy } from './client.ts';
import { disturb, readTimeout, writePlugin, type Scenery } from './disturbances.ts';
import { World } from './world.ts';

export interface TortureOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly clients?: number;
  /** Largest value in bytes. */
  readonly largest?: number;
  /** `limits.reply_window_bytes`: a small one makes every client wait for its own replies most of the time. */
  readonly window?: number;
  /** False: clients only. */
  readonly disturbed?: boolean;
}

export interface TortureResult {
  readonly world: World;
  readonly disturbances: ReadonlyMap<string, number>;
  readonly miscounted: readonly string[];
  /** Sessions that did not end, log records that should not be: as text. */
  readonly leftovers: readonly string[];
}

export async function runTorture(options: TortureOptions): Promise<TortureResult> {
  const { seconds, seed, clients = 40, largest = 4 * 1024 * 1024, window, disturbed = true } = options;
  const folder = mkdtempSync(join(tmpdir(), 'millrace-torture-'));
  const plugins = join(folder, 'plugins');
  mkdirSync(plugins);
  writePlugin(plugins, 1);
  // A restart keeps what was acknowledged: the server saves when it is asked to stop.
  const keep = ['--save', '3600 1', '--dir', folder, '--rdbcompression', 'no', '--rdbchecksum', 'no'];
  const redis = await startRedis(keep);
  const proxy = await startProxy({
    upstream: redis.port, settings: { plugins: [plugins], log: { level: 'info' } },
    ...(window === undefined ? {} : { limits: { reply_window_bytes: window } }),
    route: { upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 }, timeout: { connect: 1, send: 1, read: disturbed ? readTimeout : 10 } } },
  });
  const scenery: Scenery = {
    proxy, plugins, redis,
    async restart() {
      const { port } = this.redis;
      await this.redis.stop('SIGTERM');
      this.redis = await startRedis(keep, port);
      await loaded(port);
    },
  };
  const world = new World(seed, proxy.port, largest);
  try {
    const disturbing = disturbed ? disturb(scenery, new Dice(seed ^ 0x5eed), () => world.over) : Promise.resolve(new Map<string, number>());
    const timer = setTimeout(() => world.end(), seconds * 1000);
    await Promise.all(Array.from({ length: clients }, (_, index) => occupy(world, index)));
    clearTimeout(timer);
    world.end();
    const done = await disturbing;
    await world.close();
    const miscounted = world.wrong === null ? await countersOf(world, scenery.redis.port) : [];
    const leftovers = await leftoversOf(proxy);
    return { world, disturbances: done, miscounted, leftovers };
  } finally {
    world.end();
    await proxy[Symbol.asyncDispose]();
    await scenery.redis.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

async function loaded(port: number): Promise<void> {
  await using client = await RespClient.connect(port);
  for (let tries = 0; tries < 400; tries++) {
    if ((await client.command('PING')) === 'PONG') return;
    await sleep(25);
  }
  throw new Error('the restarted server did not load its data in 10 s');
}

/** A counter above its attempts ran twice; one below what was acknowledged lost a write. */
async function countersOf(world: World, port: number): Promise<string[]> {
  await using client = await RespClient.connect(port);
  const found: string[] = [];
  const all = [...world.ledger.counts];
  for (let at = 0; at < all.length; at += 500) {
    const some = all.slice(at, at + 500);
    const values = await client.pipeline(some.map(([key]) => ['GET', key]));
    for (const [i, [key, { attempts, acknowledged }]] of some.entries()) {
      const value = Number(values[i]);
      if (!(value <= attempts && value >= acknowledged)) found.push(`${key}: expected ${acknowledged}..${attempts}, got ${value}`);
    }
  }
  return found;
}

async function leftoversOf(proxy: Proxy): Promise<string[]> {
  const found: string[] = [];
  let sessions = -1;
  for (let tries = 0; tries < 40 && sessions !== 0; tries++) {
    sessions = (await proxy.app.plane.status())[0]!.sessions;
    if (sessions !== 0) await sleep(50);
  }
  if (sessions !== 0) found.push(`${sessions} sessions did not end`);
  for (const record of proxy.records) {
    // pino: 50 is error.
    if (Number(record['level']) >= 50 || record['level'] === 'error') found.push(`log: ${JSON.stringify(record).slice(0, 500)}`);
  }
  return found.slice(0, 10);
}

/** The result as a few lines, with the dump of a wrong reply. */
export function reportTorture({ world, disturbances, miscounted, leftovers }: TortureResult): string {
  const errors = [...world.errors.values()].reduce((sum, each) => sum + each, 0);
  const lines = [
    `seed ${world.seed}: ${world.ok} right, ${errors} errors, ${world.messages} messages, ${world.closed} closed, `
      + `${world.cancelled} cancelled, ${world.stalled} stalled, ${world.connects} connections, `
      + `${world.wrong === null ? 0 : 1} wrong, ${miscounted.length} miscounted`,
    `scenes: ${[...world.scenes].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `disturbances: ${[...disturbances].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    ...[...world.errors].toSorted((a, b) => b[1] - a[1]).slice(0, 20).map(([text, count]) => `  ${count} × ${text}`),
    ...miscounted.slice(0, 10),
    ...leftovers,
  ];
  const { wrong } = world;
  if (wrong !== null) {
    lines.push(
      `WRONG on client ${wrong.client}, ${wrong.step}: expected ${wrong.expected}, got ${wrong.got}`,
      `last ${wrong.sent.length} bytes sent:`, JSON.stringify(wrong.sent.toString('latin1')),
      `last ${wrong.received.length} bytes received:`, JSON.stringify(wrong.received.toString('latin1')),
    );
  }
  return lines.join('\n');
}

export function failedTorture({ world, miscounted, leftovers }: TortureResult): boolean {
  return world.wrong !== null || miscounted.length > 0 || leftovers.length > 0;
}
