// The OpenAPI document of the Admin API: of the routes that are registered, and the schemas that bodies are checked by.
// Made when it is asked for, on a server of its own that listens nowhere: the one that answers stays as it is.
import { fastify, type FastifySchema } from 'fastify';
import { resourceParts } from '../core/editor-schemas.ts';
import { kinds } from '../core/config/resource.ts';
import type { JsonSchema } from '../core/schema.ts';
import { version } from '../core/version.ts';
import { describe, type Described } from './openapi-texts.ts';
import type { Registry } from './registry.ts';
import { resourceRows, type Method, type ResourceRow } from './resources.ts';

const methodsWithBody = ['POST', 'PUT', 'PATCH'];

/** The document, made anew when plugins or protocols were replaced: it takes a tenth of a second. */
export function openApiOf(routes: readonly string[], prefix: string, registry: Registry): () => Promise<unknown> {
  let of: readonly unknown[] = [];
  let made: Promise<unknown> | null = null;
  return () => {
    const modules = [...registry.plugins(), ...registry.protocols()].map(({ schema }) => schema);
    if (made === null || modules.length !== of.length || modules.some((each, index) => each !== of[index])) {
      of = modules;
      made = openApi(routes, prefix, registry);
    }
    return made;
  };
}

/** `routes` as `GET /apisix/admin/upstreams/:id` each; those below `prefix` are described. */
async function openApi(routes: readonly string[], prefix: string, registry: Registry): Promise<Record<string, unknown>> {
  const { default: swagger } = await import('@fastify/swagger');
  const server = fastify();
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Millrace Admin API', version: version() },
      components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-KEY' } } },
      security: [{ key: [] }],
    },
    refResolver: { buildLocalReference: ({ $id }, _base, _fragment, count) => (typeof $id === 'string' ? $id : `def-${count}`) },
  });
  // Nothing is ever answered here.
  server.setValidatorCompiler(() => () => true);
  server.setSerializerCompiler(() => () => '');
  const parts = resourceParts(registry, (name) => `${name}#`);
  for (const [name, schema] of Object.entries({ ...parts, error: errorSchema })) server.addSchema({ $id: name, ...schema });
  for (const route of routes) {
    const [method = '', url = ''] = route.split(' ');
    if (!isShown(method, url, prefix)) continue;
    server.route({ method, url: url.replace(/\*$/, ':place'), schema: schemaOf(method, url, prefix), handler: () => '' });
  }
  await server.ready();
  const document = server.swagger() as unknown as Record<string, unknown>;
  await server.close();
  return document;
}

const errorSchema: JsonSchema = {
  type: 'object',
  properties: {
    error_msg: { type: 'string' }, description: { type: 'string' }, message: { type: 'string' },
    errors: { type: 'array', items: { type: 'object' } },
  },
};

/** Each path once, and not the methods that are refused wherever they come. */
function isShown(method: string, url: string, prefix: string): boolean {
  if (method === 'HEAD' || url.startsWith('/admin/')) return false;
  const path = url.slice(prefix.length + 1);
  if (path === 'plugins/reload') return method === 'PUT';
  const row = resourceRows.find((each) => path === each.path || path === `${each.path}/:id`);
  if (row === undefined) return true;
  if (!row.methods.includes(method as Method)) return false;
  return path === row.path ? ['GET', 'POST', 'PUT'].includes(method) : method !== 'POST';
}

function schemaOf(method: string, url: string, prefix: string): FastifySchema {
  const path = url.startsWith(`${prefix}/`) ? url.slice(prefix.length + 1) : url;
  const row = resourceRows.find((each) => [each.path, each.all, `${each.path}/:id`, `${each.path}/:id/*`].includes(path));
  const described = describe(method, path, row);
  return {
    ...swaggerWords(described, method, path),
    ...parameters(url, described),
    ...(methodsWithBody.includes(method) ? { body: bodyOf(method, path, row) } : {}),
    response: {
      '2xx': { description: 'Done.', ...(row === undefined ? {} : answerOf(method, path, row)) },
      '4xx': { description: 'Refused.', $ref: 'error#' }, '5xx': { description: 'Failed; nothing was changed, or the text says so.', $ref: 'error#' },
    },
  };
}

function swaggerWords({ summary, tag, open }: Described, method: string, path: string): Record<string, unknown> {
  const words = `${method.toLowerCase()}_${path.replace('*', 'place')}`.replaceAll(/[^A-Za-z0-9]+/g, '_').replaceAll(/^_|_$/g, '');
  return { summary, tags: [tag], operationId: words, ...(open === true ? { security: [] } : {}) };
}

function parameters(url: string, { query = {} }: Described): Pick<FastifySchema, 'params' | 'querystring'> {
  const names = [...url.matchAll(/:(\w+)/g)].map(([, name]) => name!);
  if (url.endsWith('/*')) names.push('place');
  const params = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
  const asked = Object.fromEntries(Object.entries(query).map(([name, description]) => [name, { type: 'string', description }]));
  return {
    ...(names.length === 0 ? {} : { params: { type: 'object', properties: params } }),
    ...(Object.keys(asked).length === 0 ? {} : { querystring: { type: 'object', properties: asked } }),
  };
}

function bodyOf(method: string, path: string, row: ResourceRow | undefined): JsonSchema {
  // A part of a resource may be any JSON value, and so may members of a part that is merged.
  if (row === undefined || method === 'PATCH' || path.endsWith('*')) return {};
  return { $ref: `${kinds[row.kind].schemaName}#` };
}

function answerOf(method: string, path: string, row: ResourceRow): JsonSchema {
  if (method === 'DELETE') {
    return { type: 'object', properties: { deleted: { type: 'string' }, key: { type: 'string' } } };
  }
  const one: JsonSchema = {
    type: 'object',
    properties: {
      key: { type: 'string' }, value: { $ref: `${kinds[row.kind].schemaName}#` }, expires_at: { type: 'integer' },
      ...(method === 'GET' ? { createdIndex: { type: 'integer' }, modifiedIndex: { type: 'integer' } } : {}),
    },
  };
  if (method !== 'GET' || (path !== row.path && path !== row.all)) return one;
  return { type: 'object', properties: { total: { type: 'integer' }, list: { type: 'array', items: one } } };
}
