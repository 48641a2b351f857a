// A proxy whose route `1` speaks the line protocol, with plugins of the test's own.
import type { Plugin } from '../../core/plugin.ts';
import { TextClient } from './text-client.ts';
import line from './line-protocol.ts';
import { freePort } from './ports.ts';
import { startProxy, type Proxy, type ProxyOptions } from './proxy.ts';

export interface LineProxy extends Proxy {
  dial(): Promise<TextClient>;
  /** PUTs route 1 anew. */
  route(value: Record<string, unknown>): Promise<void>;
}

export interface LineProxyOptions extends Omit<ProxyOptions, 'route' | 'protocols'> {
  /** Ports of the nodes; or `conf` says it all. */
  readonly nodes?: readonly number[];
  /** More of the upstream. */
  readonly upstreamConf?: Record<string, unknown>;
  /** Name → configuration. */
  readonly use?: Record<string, Record<string, unknown>>;
}

export async function startLineProxy(options: LineProxyOptions = {}): Promise<LineProxy> {
  const { nodes = [], upstreamConf, use, ...rest } = options;
  const port = await freePort();
  const proxy = await startProxy({
    ...rest, route: null, protocols: [line], settings: { listeners: [{ port }], ...rest.settings },
  });
  const upstream = { nodes: nodes.map((each) => ({ host: '127.0.0.1', port: each, weight: 1 })), ...upstreamConf };
  const route = (value: Record<string, unknown>): Promise<void> =>
    proxy.put('/apisix/admin/stream_routes/1', { upstream, protocol: { name: 'line' }, ...value });
  await route(use === undefined ? {} : { plugins: use });
  const clients: TextClient[] = [];
  return {
    ...proxy, route,
    async dial() {
      const client = await TextClient.connect(port);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.socket.destroy();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** A plugin of a test: only what it says matters. */
export function plugin(name: string, setup: Plugin['setup'], more: Partial<Plugin> = {}): Plugin {
  return { name, priority: 100, schema: { type: 'object' }, setup, ...more };
}
