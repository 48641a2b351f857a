// The routes of one kind of resource, from its row in the table.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { idText } from '../core/config/check.ts';
import type { Resource } from '../core/config/resource.ts';
import type { Config } from '../core/config/source.ts';
import { parseBody } from './json-body.ts';
import { notFound, refusalText, refuse, Refusal } from './refusal.ts';
import type { Registry } from './registry.ts';
import { methods, type Method, type ResourceRow } from './resources.ts';
import { withoutSecrets } from './secrets.ts';
import type { Writer } from './writer.ts';

export interface ResourceRoutesOptions {
  readonly config: { readonly config: Config };
  readonly registry: Registry;
  readonly writer: Writer;
}

type Query = Readonly<Record<string, unknown>>;
interface Asked { Params: { id?: string }; Querystring: Query }
type Answer = readonly [status: number, body: unknown];
type Request = FastifyRequest<Asked>;
type Answerer = (row: ResourceRow, request: Request, options: ResourceRoutesOptions) => Promise<Answer>;

export function addResourceRoutes(
  server: FastifyInstance, prefix: string, row: ResourceRow, options: ResourceRoutesOptions,
): void {
  for (const method of methods) {
    for (const url of [`${prefix}/${row.path}`, `${prefix}/${row.path}/:id`]) {
      server.route<Asked>({
        method, url,
        handler: async (request, reply) => {
          const [status, body] = await answer(row, method, request, options);
          return reply.code(status).send(body);
        },
      });
    }
  }
}

const answerers: Readonly<Partial<Record<Method, Answerer>>> = {
  GET: get, PUT: put, POST: post, DELETE: remove,
};

function answer(
  row: ResourceRow, method: Method, request: Request, options: ResourceRoutesOptions,
): Promise<Answer> {
  const answerer = row.methods.includes(method) ? answerers[method] : undefined;
  if (answerer === undefined) throw refuse(405, `not supported \`${method}\` method for ${row.singular}`);
  return answerer(row, request, options);
}

async function get(row: ResourceRow, request: Request, options: ResourceRoutesOptions): Promise<Answer> {
  const resources = options.config.config.resources[row.kind];
  const { id } = request.params;
  if (id === undefined) return [200, list(row, [...resources.values()], request.query, options.registry)];
  const resource = resources.get(id);
  if (resource === undefined) throw notFound;
  return [200, { ...show(row, resource, options.registry), ...indexes(resource) }];
}

async function put(row: ResourceRow, request: Request, options: ResourceRoutesOptions): Promise<Answer> {
  const body = bodyOf(request);
  const id = request.params.id ?? givenId(body);
  if (id === '') throw refusalText(row.missingId, ['id'], 'nothing');
  const { created, resource } = await options.writer.put(row, id, body);
  return [created ? 201 : 200, show(row, resource, options.registry)];
}

async function post(row: ResourceRow, request: Request, options: ResourceRoutesOptions): Promise<Answer> {
  const body = bodyOf(request);
  if (request.params.id !== undefined || givenId(body) !== '') {
    throw refusalText(`wrong ${row.singular} id, do not need it`, ['id']);
  }
  const { resource } = await options.writer.post(row, body);
  return [201, show(row, resource, options.registry)];
}

async function remove(row: ResourceRow, request: Request, options: ResourceRoutesOptions): Promise<Answer> {
  const { id } = request.params;
  if (id === undefined) throw refusalText(row.missingId, ['id'], 'nothing');
  await options.writer.delete(row, id, request.query['force'] === 'true');
  return [200, { deleted: '1', key: keyOf(row, id) }];
}

function bodyOf({ body }: FastifyRequest): unknown {
  const value = Buffer.isBuffer(body) ? parseBody(body) : undefined;
  if (value === undefined) throw refuse(400, 'missing configurations');
  return value;
}

function givenId(body: unknown): string {
  return typeof body === 'object' && body !== null ? idText((body as { id?: unknown }).id) : '';
}

function keyOf(row: ResourceRow, id: string): string {
  return `/apisix/${row.path}/${id}`;
}

function show(row: ResourceRow, resource: Resource, registry: Registry): Record<string, unknown> {
  const { id, value, createTime, updateTime } = resource;
  return {
    key: keyOf(row, id),
    value: {
      ...withoutSecrets(row.kind, id, value, registry), id,
      ...(createTime === undefined ? {} : { create_time: createTime }),
      ...(updateTime === undefined ? {} : { update_time: updateTime }),
    },
  };
}

function indexes({ createdIndex, modifiedIndex }: Resource): Record<string, number> {
  return { createdIndex, modifiedIndex };
}

function list(
  row: ResourceRow, resources: readonly Resource[], query: Query, registry: Registry,
): unknown {
  // Those of the file count for themselves, so they come last.
  const ordered = resources.toSorted((a, b) =>
    Number(a.origin === 'file') - Number(b.origin === 'file') || a.createdIndex - b.createdIndex);
  return {
    total: resources.length,
    list: page(ordered, query).map((each) => ({ ...show(row, each, registry), ...indexes(each) })),
  };
}

// The reference pages only when both are numbers.
function page(all: readonly Resource[], query: Query): readonly Resource[] {
  const [number, size] = [query['page'], query['page_size']].map(
    (text) => (typeof text === 'string' && /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN));
  if (number === undefined || size === undefined || Number.isNaN(number) || Number.isNaN(size)) return all;
  if (size < 10 || size > 500) throw new Refusal(400, 'page_size must be between 10 and 500');
  const first = (Math.max(1, number) - 1) * size;
  return all.slice(first, first + size);
}
