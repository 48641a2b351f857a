// A proxy that knows the pingpong protocol. Routes are the test's to write.
import { freePort } from '../ports.ts';
import { startProxy, type Proxy, type ProxyOptions } from '../proxy.ts';
import { PingPongClient } from './client.ts';
import pingpong from './protocol.ts';

export interface PingPongProxy extends Proxy {
  dial(): Promise<PingPongClient>;
  /** PUTs a stream route; resolves with the status. `nodes` are ports. */
  route(id: string, nodes: readonly number[] | null, value?: Record<string, unknown>): Promise<number>;
}

export async function startPingPongProxy(options: Omit<ProxyOptions, 'route' | 'protocols'> = {}): Promise<PingPongProxy> {
  const port = await freePort();
  const proxy = await startProxy({
    ...options, route: null, protocols: [pingpong], settings: { listeners: [{ port }], ...options.settings },
  });
  const clients: PingPongClient[] = [];
  return {
    ...proxy,
    async route(id, nodes, { upstream, protocol, ...value } = {}) {
      const list = nodes?.map((each) => ({ host: '127.0.0.1', port: each, weight: 1 }));
      const { status } = await proxy.call('PUT', `/apisix/admin/stream_routes/${id}`, {
        ...(list === undefined ? {} : { upstream: { nodes: list, ...upstream as object } }),
        protocol: { name: 'pingpong', ...protocol as object }, ...value,
      });
      return status;
    },
    async dial() {
      const client = await PingPongClient.connect(port);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.socket.destroy();
      await proxy[Symbol.asyncDispose]();
    },
  };
}
