// What the reference's control API shows of the configuration, under the same paths. Unlike there a key is needed: what
// is configured is nobody's business who merely reaches the port.
import type { FastifyInstance } from 'fastify';
import { kindNames, kinds, type Kind } from '../core/config/resource.ts';
import type { Config } from '../core/config/source.ts';
import { refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import { resourceRows } from './resources.ts';
import { overview } from './schema-routes.ts';
import { showWhole } from './show.ts';

export interface ControlRoutesOptions {
  readonly config: { readonly config: Config };
  readonly registry: Registry;
  readonly reload: () => Promise<void>;
}

/** One and many, and how one that is not there is called. */
const shown: readonly (readonly [one: string, many: string, kind: Kind, called: string])[] = [
  ['stream_route', 'stream_routes', 'stream_routes', 'stream route'],
  ['service', 'services', 'services', 'service'],
  ['upstream', 'upstreams', 'upstreams', 'upstream'],
  ['plugin_metadata', 'plugin_metadatas', 'plugin_metadata', 'plugin metadata'],
];

/** Once for all prefixes. */
export function addControlRoutes(server: FastifyInstance, { config, registry, reload }: ControlRoutesOptions): void {
  for (const [one, many, kind, called] of shown) {
    const row = resourceRows.find((each) => each.kind === kind)!;
    server.get(`/v1/${many}`, async () => [...config.config.resources[kind].values()].map((each) => showWhole(row, each, registry)));
    server.get<{ Params: { id: string } }>(`/v1/${one}/:id`, async ({ params: { id } }) => {
      const found = config.config.resources[kind].get(id);
      if (found === undefined) throw refuse(404, `${called}[${id.slice(0, 64)}] not found`);
      return showWhole(row, found, registry);
    });
  }
  // There are none of HTTP here.
  server.get('/v1/routes', async () => []);
  server.get<{ Params: { id: string } }>('/v1/route/:id', async ({ params: { id } }) => { throw refuse(404, `route[${id.slice(0, 64)}] not found`); });
  server.get('/v1/schema', async () => {
    const plugins = Object.fromEntries([...registry.plugins()].map((plugin) => [plugin.name, overview(plugin)]));
    return {
      main: Object.fromEntries(kindNames.map((kind) => [kinds[kind].schemaName, kinds[kind].schema])),
      // Each runs on every protocol.
      plugins, stream_plugins: plugins,
    };
  });
  server.put('/v1/plugins/reload', async (_request, reply) => {
    await reload();
    return reply.type('text/plain').send('done');
  });
}
