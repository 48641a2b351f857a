// What happens around the clients while they run: kills, stalls, reloads and plugin swaps.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dice } from '../support/dice.ts';
import type { Proxy } from '../support/proxy.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';

/** Seconds until a reply counts as late; shorter than the longest stall. */
export const readTimeout = 0.4;
const faulted = ['get', 'set', 'incr', 'mget', 'echo', 'hset', 'hgetall', 'lpush', 'del'];

export interface Scenery {
  readonly proxy: Proxy;
  readonly plugins: string;
  redis: RedisServer;
  restart(): Promise<void>;
}

type Disturb = (scenery: Scenery, dice: Dice) => Promise<void>;

/** A plugin that refuses some keys by name; each version says which it is. */
export function writePlugin(folder: string, version: number): void {
  const source = `
import { definePlugin, ProxyError } from ${JSON.stringify(new URL('../../core/api.ts', import.meta.url).href)};
export default definePlugin({
  name: 'deny-some', priority: 2500, version: '${version}',
  schema: { type: 'object', additionalProperties: false, properties: { wait: { type: 'number', default: 0 } } },
  setup(conf) {
    let closed = false;
    return {
      request(request) {
        if (closed) throw new Error('called after close');
        if (request.name !== 'get' || request.keyCount !== 1) return undefined;
        const key = request.key(0).toString('latin1');
        if (!key.startsWith('deny:')) return undefined;
        const deny = () => request.settle(new ProxyError('DENIED', 'denied by v${version}: ' + key));
        if (conf.wait === 0) { deny(); return undefined; }
        return new Promise((resolve) => setTimeout(() => { deny(); resolve(); }, conf.wait));
      },
      close() { closed = true; },
    };
  },
});
`;
  // Whole or not at all, as an editor saves.
  const temporary = join(folder, `.deny-some.${version}`);
  writeFileSync(temporary, source);
  renameSync(temporary, join(folder, 'deny-some.ts'));
}

function route(dice: Dice, redis: number): Record<string, unknown> {
  const plugins: Record<string, unknown> = {};
  if (dice.chance(0.5)) {
    plugins['fault-injection'] = {
      commands: faulted,
      delay: { duration: { min: 0.0005, max: 0.02 }, percentage: 2 },
      ...(dice.chance(0.5) ? { abort: { error: 'injected for $key', percentage: 2 } } : {}),
    };
  }
  if (dice.chance(0.3)) {
    plugins['limit-count'] = {
      count: dice.of([50, 5000]), time_window: 1, key: 'remote_addr', window_type: dice.of(['fixed', 'sliding']),
      _meta: { filter: [['command', 'in', ['get', 'set', 'incr', 'mget', 'echo']]] },
    };
  }
  if (dice.chance(0.5)) plugins['deny-some'] = dice.chance(0.5) ? {} : { wait: dice.between(1, 10) };
  return {
    upstream: { nodes: { [`127.0.0.1:${redis}`]: 1 }, timeout: { connect: 1, send: 1, read: readTimeout } },
    protocol: {
      name: 'redis',
      ...(dice.chance(0.3) ? { metric: { enable: true } } : {}),
      ...(dice.chance(0.2) ? { conf: { faults: [{ commands: ['get'], delay: 0.003, percentage: 5 }] } } : {}),
    },
    plugins,
  };
}

async function direct(port: number, ...command: string[]): Promise<void> {
  try {
    await using client = await RespClient.connect(port);
    await client.command(...command);
  } catch {
    // It may be restarting.
  }
}

let pluginVersion = 1;

export const disturbances: Readonly<Record<string, Disturb>> = {
  reload: ({ proxy, redis }, dice) => proxy.put('/apisix/admin/stream_routes/1', route(dice, redis.port)),
  'other-route': async ({ proxy, redis }, dice) => {
    const path = `/apisix/admin/stream_routes/other-${dice.between(1, 5)}`;
    if (dice.chance(0.3)) await proxy.call('DELETE', path);
    else await proxy.put(path, { ...route(dice, redis.port), remote_addr: '10.1.2.3' });
  },
  'plugin-swap': ({ plugins }) => { writePlugin(plugins, ++pluginVersion); return Promise.resolve(); },
  'kill-links': ({ redis }) => direct(redis.port, 'CLIENT', 'KILL', 'TYPE', 'normal'),
  'kill-subscribers': ({ redis }) => direct(redis.port, 'CLIENT', 'KILL', 'TYPE', 'pubsub'),
  stall: ({ redis }, dice) => direct(redis.port, 'DEBUG', 'SLEEP', String(dice.between(50, 700) / 1000)),
  stop: async ({ redis }, dice) => {
    redis.process.kill('SIGSTOP');
    await sleep(dice.between(50, 1200));
    redis.process.kill('SIGCONT');
  },
  restart: (scenery) => scenery.restart(),
};

/** Half of the run is quiet, so that the plain way is tried as well. */
const schedule: readonly (readonly [name: string, everyMs: number])[] = [
  ['reload', 400], ['other-route', 300], ['plugin-swap', 900], ['kill-links', 1300], ['kill-subscribers', 1700],
  ['stall', 1500], ['stop', 4000], ['restart', 7000],
];

/** Disturbs until told to stop; answers how often each thing was done. */
export function disturb(scenery: Scenery, dice: Dice, over: () => boolean): Promise<Map<string, number>> {
  const done = new Map<string, number>();
  // Those that touch the server's process come one at a time.
  let turn: Promise<void> = Promise.resolve();
  const loop = async ([name, every]: readonly [string, number]): Promise<void> => {
    while (true) {
      const until = performance.now() + dice.between(every / 2, every * 1.5);
      while (performance.now() < until && !over()) await sleep(50);
      if (over()) return;
      const act = (): Promise<void> => disturbances[name]!(scenery, dice);
      if (name === 'reload' || name === 'other-route' || name === 'plugin-swap') await act();
      else await (turn = turn.then(act));
      done.set(name, (done.get(name) ?? 0) + 1);
    }
  };
  return Promise.all(schedule.map(loop)).then(() => done);
}
