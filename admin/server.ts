// The Admin API on a port of its own: resources, schemas, metrics, health.
// Reading order: server, guard, resources, resource-routes, writer.
import {
  fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest,
} from 'fastify';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { References } from '../core/config/check.ts';
import type { Config, Store } from '../core/config/source.ts';
import type { Standalone } from '../core/config/standalone.ts';
import { ProxyError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Plane } from '../core/plane.ts';
import type { Settings } from '../core/settings.ts';
import { AdminCertificate } from '../core/tls/admin-certificate.ts';
import { Audit } from './audit.ts';
import { addAuditRoutes } from './audit-routes.ts';
import { addConfigRoutes } from './config-routes.ts';
import { sessionsByRoute, type LiveSessions } from './dry-run.ts';
import { addEffectiveRoutes, type Pending } from './effective-routes.ts';
import { Guard, type Access } from './guard.ts';
import { addControlRoutes } from './control-routes.ts';
import { addHealthRoutes, addUpstreamStatus, localHealthPaths } from './health-routes.ts';
import { addHistoryRoutes } from './history-routes.ts';
import { addInsightRoutes } from './insight-routes.ts';
import { addInspectRoutes } from './inspect-routes.ts';
import type { AdminKeys } from './keys.ts';
import { openApiOf } from './openapi.ts';
import { addPages, healthPaths, metricsPaths } from './pages.ts';
import { Permissions } from './permissions.ts';
import { withReferenceMetrics } from './reference-metrics.ts';
import { refuse, Refusal } from './refusal.ts';
import type { Registry } from './registry.ts';
import { addResourceRoutes } from './resource-routes.ts';
import { resourceRows } from './resources.ts';
import { addSchemaRoutes } from './schema-routes.ts';
import { addStandaloneRoutes } from './standalone-routes.ts';
import { addTailRoutes } from './tail-routes.ts';
import { Writer } from './writer.ts';

export { AdminKeys } from './keys.ts';
export type { PluginEntry, ProtocolEntry, Registry } from './registry.ts';

export interface AdminOptions {
  /** Port 0: any free one. */
  readonly settings: Pick<Settings['admin'], 'address' | 'port' | 'body_limit_bytes' | 'allow' | 'tls'> & { readonly api?: boolean };
  readonly keys: AdminKeys;
  readonly store: Store;
  /** Store and file together, as the data plane gets it. */
  readonly config: { readonly config: Config };
  readonly references: References;
  /** `apply` gets the whole after each write, also when somebody else applied the same object before. */
  readonly plane: Pick<Plane, 'apply' | 'status' | 'metrics' | 'inspect' | 'tail'>;
  readonly registry: Registry;
  readonly log: Logger;
  /** Reads all plugin and protocol files of the folders again; resolves when they serve. */
  readonly reloadModules?: () => Promise<void>;
  /** Resources come as a whole only; what is known of it. */
  readonly standalone?: Standalone;
  /** What was written and is not in use; absent: nothing. */
  readonly pending?: () => Promise<Pending>;
  /** Why no new clients should be sent here; null: they may. Absent: always ready. */
  readonly ready?: () => string | null;
}

export interface AdminServer {
  readonly address: string;
  readonly port: number;
  /** Registered routes, `GET /metrics` each: what a test of access goes through. */
  readonly routes: readonly string[];
  /** Reads the certificate files again. */
  reload(): void;
  /** Ends what is under way, then closes. */
  close(): Promise<void>;
}

/** Both lead to the same: the reference's, for scripts that exist, and a shorter one. */
export const prefixes = ['/apisix/admin', '/admin'];

const usualHeaders = {
  'x-api-version': 'v3', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff',
};

/** Rejects with LISTEN_FAILED. */
export async function createAdmin(options: AdminOptions): Promise<AdminServer> {
  const { address, port, api = true, body_limit_bytes: bodyLimit, allow, tls } = options.settings;
  const certificate = tls === undefined ? null : new AdminCertificate(tls, options.log);
  const guard = new Guard(options.keys, accessOf, {
    ...(allow === undefined ? {} : { allow }), warn: (text) => options.log.warn({ code: 'ADMIN_DENIED' }, text),
  });
  const permissions = new Permissions(prefixes);
  const standalone = options.standalone ?? null;
  const writer = new Writer(options);
  const audit = new Audit(options.store.audit, options.log);
  const sessions: LiveSessions = async () => sessionsByRoute(await options.plane.metrics());
  const server = fastify({
    ...(certificate === null ? {} : { https: certificate.options as object }),
    bodyLimit, logger: false, requestTimeout: 30_000,
    // The longest URL that Node takes; a long id is then told that it is wrong.
    routerOptions: { maxParamLength: 16_384, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
    clientErrorHandler: answerUnreadable,
    frameworkErrors: (error, request, reply) => { refuseEarly(guard, error, request, reply); },
  });
  const routes = listRoutes(server);
  server.addHook('onRequest', async (request, reply) => {
    reply.headers(usualHeaders);
    try {
      const route = request.routeOptions.url ?? '';
      const caller = guard.check(request, reply, route);
      if (caller === null) return;
      permissions.admit(request, caller, route);
      audit.begin(request, caller.name);
    } catch (error) {
      if (error instanceof Refusal) audit.denied(request, error, permissions.nameOf(request));
      throw error;
    }
  });
  server.addHook('onSend', (request, reply) => audit.finish(request, reply));
  readAnyBody(server);
  answerErrors(server, options.log, bodyLimit, audit);
  addPages(server, {
    metrics: async () => withReferenceMetrics(await options.plane.metrics(), options), ready: options.ready ?? (() => null),
  });
  addHealthRoutes(server, options);
  if (api) addControlRoutes(server, { ...options, reload: options.reloadModules ?? (() => Promise.resolve()) });
  // Scripts ask so whether the Admin API is there at all; the body is empty, so that it says no more than that.
  if (api) server.head(prefixes[0]!, (_request, reply) => reply.send());
  // The document speaks of the reference's paths; the shorter ones are the same.
  const openApi = openApiOf(routes, prefixes[0]!, options.registry);
  for (const prefix of api ? prefixes : []) {
    addSchemaRoutes(server, prefix, options.registry, options.plane, options.reloadModules ?? (() => Promise.resolve()));
    server.get(`${prefix}/openapi.json`, openApi);
    addAuditRoutes(server, prefix, audit);
    addConfigRoutes(server, prefix, { ...options, writer, sessions, audit, standalone });
    addStandaloneRoutes(server, prefix, { ...options, writer, sessions, audit, standalone });
    addHistoryRoutes(server, prefix, { ...options, writer, sessions, audit });
    addInspectRoutes(server, prefix, options.plane);
    addEffectiveRoutes(server, prefix, { ...options, pending: options.pending ?? (async () => ({ rejections: [], file: null })) });
    addInsightRoutes(server, prefix, options.plane);
    addUpstreamStatus(server, prefix, options);
    for (const row of resourceRows) {
      addResourceRoutes(server, prefix, row, { config: options.config, registry: options.registry, writer, sessions, audit, permissions });
    }
  }
  const endTails = addTailRoutes(server, api ? prefixes : [], options.plane);
  server.server.maxConnections = 1000;
  certificate?.keepOn(server.server as unknown as HttpsServer);
  try {
    await listen(server, address, port);
  } catch (error) {
    await certificate?.close();
    throw error;
  }
  const bound = server.server.address() as AddressInfo;
  return {
    address: bound.address, port: bound.port, routes,
    reload: () => certificate?.reload(),
    close: async () => {
      await certificate?.close();
      endTails();
      await server.close();
      await writer.idle();
    },
  };
}

function accessOf(route: string): Access {
  if (healthPaths.includes(route) || route === prefixes[0]) return 'open';
  return [...metricsPaths, ...localHealthPaths].includes(route) ? 'local' : 'key';
}

function listRoutes(server: FastifyInstance): string[] {
  const routes: string[] = [];
  server.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push(`${each} ${url}`);
  });
  return routes;
}

// The reference reads any body as JSON, whatever its type says: curl's default is that of a form.
function readAnyBody(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

// What cannot be routed at all must not be answered to strangers either.
function refuseEarly(guard: Guard, error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  let refusal = refuse(error.statusCode ?? 400, 'the path is not well formed');
  try {
    guard.check(request, reply, '');
  } catch (denied) {
    if (!(denied instanceof Refusal)) throw denied;
    refusal = denied;
  }
  reply.headers(usualHeaders);
  send(reply, refusal);
}

const unreadable: Readonly<Record<string, readonly [status: string, text: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not come in time'],
};

/** What is no HTTP that Node understands; nothing is known of who asks, so nothing is said of what is here. */
function answerUnreadable({ code = '' }: { readonly code?: string }, socket: Duplex): void {
  if (!socket.writable || code === 'ECONNRESET') return void socket.destroy();
  const [status, text] = unreadable[code] ?? ['400 Bad Request', 'the request is not well formed'];
  const body = JSON.stringify({ error_msg: text });
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
}

function answerErrors(server: FastifyInstance, log: Logger, bodyLimit: number, audit: Audit): void {
  const answer = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply => {
    audit.attemptOf(request)?.refused(refusal.message);
    return send(reply, refusal);
  };
  server.setNotFoundHandler(async (request, reply) => answer(request, reply, refuse(404, missingText(request.url))));
  server.setErrorHandler(async (error: FastifyError | Error, request, reply) => {
    if (error instanceof Refusal) return answer(request, reply, error);
    if (error instanceof ProxyError) {
      log.error({ code: error.code, err: error.cause }, error.message);
      return answer(request, reply, refuse(503, error.message));
    }
    const { code, statusCode } = error as FastifyError;
    if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return answer(request, reply, tooLarge(request, bodyLimit));
    if (statusCode !== undefined && statusCode < 500) return answer(request, reply, refuse(statusCode, error.message));
    log.error({ code: 'INTERNAL', err: error }, 'an admin request failed');
    return answer(request, reply, refuse(500, 'internal error'));
  });
}

function send(reply: FastifyReply, { status, body }: Refusal): FastifyReply {
  return reply.code(status).type(typeof body === 'string' ? 'text/plain' : 'application/json').send(body);
}

function missingText(url: string): string {
  const [path = ''] = url.split('?');
  const prefix = prefixes.find((each) => path.startsWith(`${each}/`));
  if (prefix === undefined) return '404 Route Not Found';
  const [name = ''] = path.slice(prefix.length + 1).split('/');
  const known = ['plugins', 'schema', 'configs', 'history', 'audit', 'openapi.json', 'sessions', 'explain', 'insight', ...resourceRows.map((row) => row.path.split('/')[0])].includes(name);
  return known ? 'not found' : `Unsupported resource type: ${name.slice(0, 64)}`;
}

function tooLarge({ headers }: FastifyRequest, limit: number): Refusal {
  const size = headers['content-length'] ?? `over ${limit}`;
  const text = `request size ${size} is greater than the maximum size ${limit} allowed`;
  return refuse(400, `invalid request body: ${text}`);
}

async function listen(server: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await server.listen({ host, port });
  } catch (error) {
    await server.close();
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    const text = `admin ${host}:${port}: could not listen: ${why}`;
    throw new ProxyError('LISTEN_FAILED', text, { cause: error });
  }
}
