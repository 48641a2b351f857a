// The ways in which a Redis route can be served: real clients must not see a difference.
import { startProxy, type Proxy, type ProxyOptions } from '../support/proxy.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

export type UpstreamKind = 'shared' | 'dedicated' | 'memory';
export const realKinds: readonly UpstreamKind[] = ['shared', 'dedicated'];
export const allKinds: readonly UpstreamKind[] = [...realKinds, 'memory'];

export interface Stage extends AsyncDisposable {
  readonly proxy: Proxy;
  readonly port: number;
  /** Null with the embedded server. */
  readonly redis: RedisServer | null;
}

export async function startStage(kind: UpstreamKind, options: ProxyOptions = {}): Promise<Stage> {
  const redis = kind === 'memory' ? null : await startRedis();
  const conf = kind === 'dedicated' ? { upstream_connection: 'dedicated' } : {};
  const proxy = await startProxy({
    ...(redis === null ? {} : { upstream: redis.port }),
    ...options,
    route: { protocol: { name: 'redis', conf }, ...options.route },
  });
  return {
    proxy, redis, port: proxy.port,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await redis?.[Symbol.asyncDispose]();
    },
  };
}
