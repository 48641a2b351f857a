// How the nodes are: in the reference's words under /v1, and with everything under /upstreams/status.
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Value } from '../core/config/resource.ts';
import type { Config } from '../core/config/source.ts';
import type { NodeStatus, UpstreamsAnswer, UpstreamStatus } from '../core/upstream-status.ts';
import type { Plane } from '../core/plane.ts';
import { refuse } from './refusal.ts';

export interface HealthRoutesOptions {
  readonly plane: Pick<Plane, 'inspect'>;
  readonly config: { readonly config: Config };
}

/** No key is needed from this machine, as at the reference's control API. */
export const localHealthPaths = ['/v1/healthcheck', '/v1/healthcheck/:type', '/v1/healthcheck/:type/:id', '/v1/discovery/:type/dump'];

export interface Shown {
  /** `/apisix/upstreams/1` */
  readonly name: string;
  readonly type: string | null;
  readonly service: string | null;
  readonly routes: readonly string[];
  readonly nodes: readonly NodeStatus[];
}

const kinds = ['routes', 'services', 'upstreams', 'stream_routes'] as const;
type SourceKind = typeof kinds[number];

/** Once for all prefixes. */
export function addHealthRoutes(server: FastifyInstance, options: HealthRoutesOptions): void {
  const checked = (): Promise<Shown[]> => checkedUpstreams(options);
  server.get('/v1/healthcheck', async (request, reply) => {
    const list = (await checked()).map(({ name, type, nodes }) => ({ name, type, nodes }));
    return wantsHtml(request.headers.accept) ? page(reply, list) : list;
  });
  server.get<{ Params: { type: string } }>('/v1/healthcheck/:type', async ({ params: { type } }) => {
    sourceKind(type);
    throw refuse(404, `missing src id for src type ${type}`);
  });
  server.get<{ Params: { type: string; id: string } }>('/v1/healthcheck/:type/:id', async (request, reply) => {
    const { type, id } = request.params;
    const kind = sourceKind(type);
    const { config } = options.config;
    if (kind === 'routes' || !config.resources[kind].has(id)) throw refuse(404, `${kind}[${id.slice(0, 64)}] not found`);
    const found = (await checked()).find(({ name }) => name === `/apisix/${kind}/${id}`);
    if (found === undefined) throw refuse(404, `no checker for ${kind}[${id}]`);
    const { name, type: checkType, nodes } = found;
    const shown = { name, type: checkType, nodes };
    return wantsHtml(request.headers.accept) ? page(reply, [shown]) : shown;
  });
  server.get<{ Params: { type: string } }>('/v1/discovery/:type/dump', async ({ params: { type } }) => {
    const [answer] = await ask(options);
    const services = answer?.services.filter((each) => each.type === type) ?? [];
    if (services.length === 0 && !Object.hasOwn(answer?.dumps ?? {}, type)) throw refuse(404, `discovery[${type.slice(0, 64)}] is not in use`);
    return { services, known: answer?.dumps[type] ?? null };
  });
}

export function addUpstreamStatus(server: FastifyInstance, prefix: string, options: HealthRoutesOptions): void {
  server.get(`${prefix}/upstreams/status`, async () => {
    const list = await shownOf(options);
    const [answer] = await ask(options);
    return { total: list.length, list, services: answer?.services ?? [] };
  });
}

function sourceKind(type: string): SourceKind {
  const kind = kinds.find((each) => each === type);
  if (kind === undefined) throw refuse(400, `invalid src type ${type.slice(0, 64)}`);
  return kind;
}

async function ask({ plane }: HealthRoutesOptions): Promise<readonly UpstreamsAnswer[]> {
  return await plane.inspect({ what: 'upstreams' }) as readonly UpstreamsAnswer[];
}

/** Those that have `checks`. */
export async function checkedUpstreams(options: HealthRoutesOptions): Promise<Shown[]> {
  return (await shownOf(options)).filter(({ type }) => type !== null);
}

/** By the resource that the upstream stands in: several routes may share one. */
async function shownOf(options: HealthRoutesOptions): Promise<Shown[]> {
  const { config } = options.config;
  const shown = new Map<string, Shown>();
  for (const upstream of joined(await ask(options))) {
    const name = nameOf(upstream.id, config);
    const known = shown.get(name);
    if (known === undefined) shown.set(name, { name, type: upstream.type, service: upstream.service, routes: [upstream.id], nodes: upstream.nodes });
    else shown.set(name, { ...known, routes: [...known.routes, upstream.id] });
  }
  return [...shown.values()].toSorted((a, b) => a.name.localeCompare(b.name));
}

/**
 * What the workers say, as one: checks are the same everywhere; without them each finds out for itself, and the worst
 * is shown. Requests under way are added.
 */
function joined(answers: readonly UpstreamsAnswer[]): UpstreamStatus[] {
  const found = new Map<string, UpstreamStatus>();
  for (const upstream of answers.flatMap(({ upstreams }) => upstreams)) {
    const known = found.get(upstream.id);
    found.set(upstream.id, known === undefined ? upstream : { ...known, nodes: known.nodes.map((node) => {
      const other = upstream.nodes.find(({ hostname, port }) => hostname === node.hostname && port === node.port);
      if (other === undefined) return node;
      const worse = node.available && !other.available ? other : node;
      return { ...worse, in_flight: node.in_flight + other.in_flight };
    }) });
  }
  return [...found.values()];
}

/** Where the upstream of a route stands. Behind the id of the route, a plugin's own has its name. */
function nameOf(id: string, config: Config): string {
  const [route = '', ...rest] = id.split(' ');
  if (rest.length > 0) return `/apisix/stream_routes/${id}`;
  const value = config.resources.stream_routes.get(route)?.value;
  return sourceOf('stream_routes', route, value, config);
}

function sourceOf(kind: SourceKind, id: string, value: Value | undefined, config: Config): string {
  if (value?.['upstream'] !== undefined) return `/apisix/${kind}/${id}`;
  if (value?.['upstream_id'] !== undefined) return `/apisix/upstreams/${String(value['upstream_id'] as string | number)}`;
  if (kind !== 'services' && value?.['service_id'] !== undefined) {
    const service = String(value['service_id'] as string | number);
    return sourceOf('services', service, config.resources.services.get(service)?.value, config);
  }
  return `/apisix/${kind}/${id}`;
}

function wantsHtml(accept: string | undefined): boolean {
  return accept?.includes('text/html') === true;
}

function page(reply: FastifyReply, list: readonly Pick<Shown, 'name' | 'type' | 'nodes'>[]): FastifyReply {
  const rows = list.flatMap(({ name, type, nodes }) => nodes.map((node) => {
    const { counter, last_error: error } = node;
    const address = node.port === 0 ? node.ip : `${node.ip}:${node.port}`;
    const cells = [
      name, type ?? '', address, node.hostname, node.status, counter.success, counter.http_failure, counter.tcp_failure,
      counter.timeout_failure, counter.protocol_failure, error ?? '',
    ];
    return `<tr>${cells.map((cell) => `<td>${escaped(String(cell))}</td>`).join('')}</tr>`;
  }));
  const heads = ['upstream', 'check type', 'host', 'hostname', 'status', 'success', 'HTTP failures', 'TCP failures', 'timeouts', 'protocol failures', 'last error'];
  return reply.type('text/html; charset=utf-8').header('content-security-policy', 'default-src \'none\'').send([
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Millrace upstream check status</title></head><body>',
    `<h1>Upstream check status</h1><table border="1"><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr>`,
    ...rows, '</table></body></html>',
  ].join('\n'));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
