// What plugins and kinds there are, and the schemas of their configurations.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { resourcesFileSchema, settingsFileSchema } from '../core/editor-schemas.ts';
import { kindNames, kinds } from '../core/config/resource.ts';
import type { Plane, PlaneStatus } from '../core/plane.ts';
import { metaSchema } from '../core/registry.ts';
import type { JsonSchema } from '../core/schema.ts';
import { refuse, Refusal } from './refusal.ts';
import { findByName, type PluginEntry, type Registry } from './registry.ts';

export function addSchemaRoutes(
  server: FastifyInstance, prefix: string, registry: Registry, plane: Pick<Plane, 'status'>, reload: () => Promise<void>,
): void {
  // Deprecated in the reference, but dashboards ask for it.
  server.get(`${prefix}/plugins`, async (request) => {
    subsystem(request);
    return Object.fromEntries(byPriority(registry).map((plugin) => [plugin.name, overview(plugin)]));
  });
  server.get(`${prefix}/plugins/list`, async (request) => {
    subsystem(request);
    return byPriority(registry).map(({ name }) => name);
  });
  server.route({
    method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], url: `${prefix}/plugins/reload`,
    handler: async ({ method }, reply) => {
      if (method !== 'PUT') {
        throw refuse(405, `please use PUT method to reload the plugins, ${method} method is not allowed.`);
      }
      await reload();
      return reply.type('text/plain').send('done');
    },
  });
  server.get(`${prefix}/plugins/status`, async () => showStatus(await plane.status()));
  for (const path of ['plugins', 'schema/plugins']) {
    server.get<{ Params: { name: string } }>(`${prefix}/${path}/:name`, async (request) => {
      const asked = textOf(request, 'subsystem') ?? 'stream';
      if (!subsystems.includes(asked)) throw refuse(400, `unsupported subsystem: ${asked.slice(0, 64)}`);
      return pluginSchema(registry, request.params.name, textOf(request, 'schema_type'), asked);
    });
  }
  server.get<{ Params: { name: string } }>(`${prefix}/schema/protocols/:name`, async ({ params }) => {
    const protocol = findByName(registry.protocols(), params.name);
    if (protocol === undefined) throw refuse(404, `protocol not found: ${params.name.slice(0, 128)}`);
    return protocol.schema;
  });
  server.get(`${prefix}/schema/settings`, async () => settingsFileSchema());
  server.get(`${prefix}/schema/resources`, async () => resourcesFileSchema(registry));
  server.get<{ Params: { name: string } }>(`${prefix}/schema/:name`, async ({ params }) => {
    const kind = kindNames.find((each) => kinds[each].schemaName === params.name);
    if (kind === undefined) throw refuse(400, `not found schema: ${params.name.slice(0, 128)}`);
    return kinds[kind].schema;
  });
}

// The reference has two kinds of plugins; here each runs on every protocol.
const subsystems = ['http', 'stream'];

function subsystem(request: FastifyRequest): void {
  const asked = textOf(request, 'subsystem');
  if (asked === undefined || subsystems.includes(asked)) return;
  throw new Refusal(400, 'invalid subsystem passed');
}

function textOf({ query }: FastifyRequest, name: string): string | undefined {
  const value = (query as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}

export function overview({ priority, version, schema, metadataSchema }: PluginEntry): unknown {
  return {
    priority, schema, ...(version === undefined ? {} : { version }),
    ...(metadataSchema === undefined ? {} : { metadata_schema: metadataSchema }),
  };
}

function byPriority(registry: Registry): PluginEntry[] {
  return [...registry.plugins()].toSorted((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1));
}

function pluginSchema(registry: Registry, name: string, type: string | undefined, subsystem: string): JsonSchema {
  const plugin = findByName(registry.plugins(), name);
  if (plugin === undefined) throw refuse(404, `plugin not found in subsystem ${subsystem}`);
  const schema = type === undefined ? plugin.schema : type === 'metadata' ? plugin.metadataSchema : undefined;
  if (schema === undefined) throw refuse(400, 'not found schema');
  if (type === 'metadata') return schema;
  return { ...schema, properties: { ...schema.properties, _meta: metaSchema } };
}

// Modules and listeners are the same in every worker, unless one of them failed.
function showStatus(workers: readonly PlaneStatus[]): unknown {
  const unique = <Entry>(entries: readonly Entry[]): Entry[] =>
    [...new Map(entries.map((entry) => [JSON.stringify(entry), entry])).values()];
  return {
    workers: workers.map(({ worker, revision, sessions }) => ({ worker, revision, sessions })),
    modules: unique(workers.flatMap(({ modules }) => modules)),
    listeners: unique(workers.flatMap(({ listeners }) => listeners)),
    places: workers.flatMap(({ places }) => places),
  };
}
