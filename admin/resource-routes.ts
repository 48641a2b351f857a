// The routes of one kind of resource, from its row in the table.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Resource, Value } from '../core/config/resource.ts';
import type { Config } from '../core/config/source.ts';
import type { Audit } from './audit.ts';
import { changeConditions, etagOf, writeOptions } from './conditions.ts';
import { showDryRun, type LiveSessions } from './dry-run.ts';
import { parseBody } from './json-body.ts';
import { select, type Query } from './list.ts';
import { mergePatch, replaceAt } from './merge-patch.ts';
import type { Permissions } from './permissions.ts';
import { notFound, refusalText, refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import { givenId, idIn, keyOf, methods, outerIn, type Method, type ResourceRow } from './resources.ts';
import { show, showWhole } from './show.ts';
import type { Change, Outcome, Result, WriteOptions, Writer } from './writer.ts';

export interface ResourceRoutesOptions {
  readonly config: { readonly config: Config };
  readonly registry: Registry;
  readonly writer: Writer;
  readonly sessions: LiveSessions;
  readonly audit: Audit;
  readonly permissions: Permissions;
}

type Params = Readonly<Record<string, string | undefined>>;
interface Asked { Params: Params; Querystring: Query }
type Request = FastifyRequest<Asked>;

/** One request for one resource, or for all of a kind. */
interface Call {
  readonly row: ResourceRow;
  readonly request: Request;
  readonly reply: FastifyReply;
  /** Of the path; empty: the whole kind is meant. */
  readonly id: string;
}

export function addResourceRoutes(
  server: FastifyInstance, prefix: string, row: ResourceRow, options: ResourceRoutesOptions,
): void {
  const routes = new ResourceRoutes(options);
  for (const method of methods) {
    for (const url of [`${prefix}/${row.path}`, `${prefix}/${row.path}/:id`]) {
      server.route<Asked>({
        method, url,
        handler: async (request, reply) => {
          const id = idIn(row, request.params, request.params['id'] ?? '');
          return routes.answer(method, { row, request, reply, id });
        },
      });
    }
  }
  if (row.all !== undefined) {
    server.get<Asked>(`${prefix}/${row.all}`, async (request, reply) => routes.answer('GET', { row, request, reply, id: '' }));
  }
  const depth = `${prefix}/${row.path}/:id`.split('/').length - 1;
  server.patch<Asked>(`${prefix}/${row.path}/:id/*`, async (request, reply) => {
    // Decoded one by one: a name may hold a slash.
    const path = request.url.split('?')[0]!.split('/').filter((name) => name !== '').slice(depth).map(decodeURIComponent);
    return routes.patch({ row, request, reply, id: idIn(row, request.params, request.params['id'] ?? '') }, path);
  });
}

class ResourceRoutes {
  readonly #options: ResourceRoutesOptions;

  constructor(options: ResourceRoutesOptions) {
    this.#options = options;
  }

  answer(method: Method, call: Call): Promise<FastifyReply> {
    if (!call.row.methods.includes(method)) {
      throw refuse(405, `not supported \`${method}\` method for ${call.row.singular}`);
    }
    switch (method) {
      case 'GET': return this.get(call);
      case 'PUT': return this.put(call);
      case 'POST': return this.post(call);
      case 'PATCH': return this.patch(call, []);
      case 'DELETE': return this.delete(call);
    }
  }

  async get({ row, request, reply, id }: Call): Promise<FastifyReply> {
    const { config: { config }, registry, permissions } = this.#options;
    const resources = config.resources[row.kind];
    if (id === '') {
      const outer = outerIn(row, request.params);
      const mine = [...resources.values()].filter((each) => each.id.startsWith(outer) && permissions.shows(request, row.kind, each.id));
      const { total, page } = select(mine, request.query);
      return reply.send({ total, list: page.map((each) => showWhole(row, each, registry)) });
    }
    const resource = resources.get(id);
    if (resource === undefined) throw notFound;
    return reply.header('etag', etagOf(resource)).send(showWhole(row, resource, registry));
  }

  async put(call: Call): Promise<FastifyReply> {
    const { row, request } = call;
    const body = bodyOf(request);
    const id = call.id === '' ? idIn(row, request.params, givenId(row, body)) : call.id;
    if (id === '') throw refusalText(row.missingId, ['id'], 'nothing', 'an id');
    if (call.id !== '') refuseOtherId(row, id, body);
    this.#options.permissions.refuseOther(request, row.kind, id);
    return this.#write(call, { row, id, make: () => withoutGivenId(row, body), ...changeConditions(request) });
  }

  async post(call: Call): Promise<FastifyReply> {
    const { row, request } = call;
    const body = bodyOf(request);
    if (call.id !== '' || givenId(row, body) !== '') {
      throw refusalText(`wrong ${row.singular} id, do not need it`, ['id'], JSON.stringify(call.id || givenId(row, body)), 'none: it is made');
    }
    const options = writeOptions(request, this.#options.audit);
    return this.#answer(call, options, await this.#options.writer.create(row, body, options, changeConditions(request)));
  }

  /** The whole, or what stands at a path in it. */
  async patch(call: Call, path: readonly string[]): Promise<FastifyReply> {
    const { row, request, id } = call;
    if (!row.methods.includes('PATCH')) throw refuse(405, `not supported \`PATCH\` method for ${row.singular}`);
    const body = bodyOf(request);
    if (id === '') throw refusalText(row.missingId, ['id'], 'nothing', 'an id');
    if (path.length === 0) refuseOtherId(row, id, body);
    const make = (old: Value | undefined): unknown => {
      if (old === undefined) throw notFound;
      if (path.length > 0) return replaceAt(old, path, body);
      const shown = this.#options.config.config.resources[row.kind].get(id);
      return withoutGivenId(row, mergePatch(old, withoutShownTimes(body, shown)));
    };
    return this.#write(call, { row, id, make, keepsEnd: true, ...changeConditions(request) });
  }

  async delete(call: Call): Promise<FastifyReply> {
    const { row, request, id } = call;
    if (id === '') throw refusalText(row.missingId, ['id'], 'nothing', 'an id');
    const options = writeOptions(request, this.#options.audit);
    const change = { row, id, make: () => undefined, ...changeConditions(request) };
    const result = await this.#options.writer.write([change], options);
    if (options.dryRun === true) return call.reply.send(await showDryRun(result, this.#options));
    return call.reply.send({ deleted: '1', key: keyOf(row, id) });
  }

  async #write(call: Call, change: Change): Promise<FastifyReply> {
    const options = writeOptions(call.request, this.#options.audit);
    return this.#answer(call, options, await this.#options.writer.write([change], options));
  }

  async #answer({ row, request, reply }: Call, options: WriteOptions, result: Result): Promise<FastifyReply> {
    if (options.dryRun === true) return reply.send(await showDryRun(result, this.#options));
    const { outcome, resource } = result.outcomes[0] as Outcome & { readonly resource: Resource };
    const created = outcome === 'created' || request.method === 'POST';
    return reply.code(created ? 201 : 200).header('etag', etagOf(resource)).send(show(row, resource, this.#options.registry));
  }
}

function bodyOf({ body }: FastifyRequest): unknown {
  const value = Buffer.isBuffer(body) ? parseBody(body) : undefined;
  if (value === undefined) throw refuse(400, 'missing configurations');
  return value;
}

function refuseOtherId(row: ResourceRow, id: string, body: unknown): void {
  const given = givenId(row, body);
  if (given === '' || given === ownPart(id)) return;
  throw refusalText(`wrong ${row.singular} id`, [row.idMember], JSON.stringify(given), JSON.stringify(ownPart(id)));
}

// Who reads a resource, changes it and sends it back means no change of its times.
function withoutShownTimes(body: unknown, shown: Resource | undefined): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const times: Readonly<Record<string, unknown>> = { create_time: shown?.createTime, update_time: shown?.updateTime };
  return Object.fromEntries(Object.entries(body).filter(([name, value]) => value === undefined || value !== times[name]));
}

function ownPart(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}

// The path says it in full; the checks would take a part of it for another id.
function withoutGivenId(row: ResourceRow, body: unknown): unknown {
  if (row.idMember !== 'id' || !row.path.includes(':') || typeof body !== 'object' || body === null) return body;
  const { id: _id, ...rest } = body as Value;
  return rest;
}
