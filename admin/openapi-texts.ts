// What the OpenAPI document says in words: a row for each path that is no resource's, and what resources have in common.
import type { ResourceRow } from './resources.ts';

export interface Described {
  readonly summary: string;
  readonly tag: string;
  /** Name → what it means. */
  readonly query?: Readonly<Record<string, string>>;
  /** No key is needed. */
  readonly open?: boolean;
}

const writing = {
  dry_run: '`true`: everything is checked, nothing written; the answer lists affected routes and their live sessions.',
};
const ending = { ttl: 'Seconds after which it is taken away by itself.' };
const paging = { before: 'Goes on with what is older than this revision or number.' };

const sessionFilters = {
  route: 'Id of a route.', client: 'Client address.', user: 'User that the client logged in as.', protocol: 'Name of a protocol.',
  idle: 'Seconds without a request, at least.',
};

const others: Readonly<Record<string, Described>> = {
  'GET tail': {
    summary: 'Requests as they are answered, as server-sent events', tag: 'live',
    query: {
      filter: 'Expression as JSON, such as `[["command","==","get"]]`.', rate: 'Records per second and worker; default 100.',
      limit: 'Ends after so many.',
    },
  },
  'GET configs': { summary: 'The whole configuration, without secrets', tag: 'configuration' },
  'GET configs/status': { summary: 'Which revision runs where, and what was written but is not in use', tag: 'configuration' },
  'GET stream_routes/:id/effective': { summary: 'A route with all that it takes from its service, plugin config and upstream', tag: 'configuration' },
  'PATCH configs': { summary: 'Changes several resources, all or none; null deletes', tag: 'configuration', query: writing },
  'PUT configs': { summary: 'Replaces the whole configuration (admin.standalone); X-Digest names it', tag: 'configuration', query: writing },
  'POST configs/validate': { summary: 'Checks a whole resources file and lists all mistakes', tag: 'configuration' },
  'POST schema/validate/:kind': { summary: 'Checks one resource without writing it', tag: 'configuration' },
  'GET history': { summary: 'What was changed, newest first', tag: 'history', query: paging },
  'GET history/diff': {
    summary: 'What is different between two revisions', tag: 'history',
    query: { from: 'Revision to start from.', to: 'Revision to compare with; without it the newest.' },
  },
  'POST history/:revision/rollback': { summary: 'Brings the whole configuration back to a revision', tag: 'history', query: writing },
  'GET audit': {
    summary: 'Who changed something, or tried to', tag: 'history', query: { ...paging, limit: 'How many; 1 to 1000, usually 100.' },
  },
  'GET sessions': {
    summary: 'Live sessions', tag: 'sessions',
    query: { ...sessionFilters, limit: 'How many; 1 to 10000, usually 100.', after: 'Goes on behind the session with this id.' },
  },
  'GET sessions/:id': { summary: 'One live session', tag: 'sessions' },
  'DELETE sessions': { summary: 'Closes the sessions that a filter finds', tag: 'sessions', query: sessionFilters },
  'DELETE sessions/:id': { summary: 'Closes one session', tag: 'sessions' },
  'GET explain': {
    summary: 'Which route a connection would take, and why', tag: 'sessions',
    query: { server: 'Address and port of ours.', client: 'Client address.', sni: 'TLS server name.', command: 'What the client asks for, such as `get user:1`.' },
  },
  'GET insight': {
    summary: 'Slow commands, hot keys and big values that the plugin insight found, of all workers', tag: 'live',
    query: { route: 'Id of a route; without it all.' },
  },
  'GET upstreams/status': { summary: 'How the nodes of all upstreams are, with last error and next probe', tag: 'upstreams' },
  'GET /v1/healthcheck': { summary: 'Health of all upstreams with checks', tag: 'health' },
  'GET /v1/healthcheck/:type': { summary: 'Says that an id is missing', tag: 'health' },
  'GET /v1/healthcheck/:type/:id': { summary: 'Health of the upstream of one resource', tag: 'health' },
  'GET /v1/discovery/:type/dump': { summary: 'What is known of services', tag: 'health' },
  'GET /v1/schema': { summary: 'JSON schemas of kinds and plugins', tag: 'schemas' },
  'PUT /v1/plugins/reload': { summary: 'Reads all plugin and protocol files again', tag: 'plugins' },
  'GET /v1/routes': { summary: 'HTTP routes, of which there are none', tag: 'configuration' },
  'GET /v1/route/:id': { summary: 'Says that there is no such HTTP route', tag: 'configuration' },
  'GET /v1/stream_routes': { summary: 'All stream routes', tag: 'configuration' },
  'GET /v1/stream_route/:id': { summary: 'One stream route', tag: 'configuration' },
  'GET /v1/services': { summary: 'All services', tag: 'configuration' },
  'GET /v1/service/:id': { summary: 'One service', tag: 'configuration' },
  'GET /v1/upstreams': { summary: 'All upstreams', tag: 'configuration' },
  'GET /v1/upstream/:id': { summary: 'One upstream', tag: 'configuration' },
  'GET /v1/plugin_metadatas': { summary: 'Metadata of all plugins', tag: 'configuration' },
  'GET /v1/plugin_metadata/:id': { summary: 'Metadata of one plugin', tag: 'configuration' },
  'GET plugins': { summary: 'Plugins with priority, version and schemas, by name', tag: 'plugins' },
  'GET plugins/list': { summary: 'Names of the plugins, highest priority first', tag: 'plugins' },
  'PUT plugins/reload': { summary: 'Reads all plugin and protocol files again', tag: 'plugins' },
  'GET plugins/status': { summary: 'Workers, modules, listeners and what plugins say of themselves', tag: 'plugins' },
  'GET plugins/:name': { summary: 'JSON schema of a plugin', tag: 'schemas' },
  'GET schema/plugins/:name': { summary: 'JSON schema of a plugin', tag: 'schemas' },
  'GET schema/protocols/:name': { summary: 'JSON schema of a protocol', tag: 'schemas' },
  'GET schema/:name': { summary: 'JSON schema of a kind of resource', tag: 'schemas' },
  'GET schema/settings': { summary: 'JSON schema of settings files, for editors', tag: 'schemas' },
  'GET schema/resources': { summary: 'JSON schema of resources files, for editors', tag: 'schemas' },
  'GET openapi.json': { summary: 'This document', tag: 'schemas' },
  'GET /metrics': { summary: 'Metrics for Prometheus', tag: 'health' },
  'GET /apisix/prometheus/metrics': { summary: 'Metrics for Prometheus', tag: 'health' },
  'GET /healthz': { summary: 'Whether it runs', tag: 'health', open: true },
  'GET /status': { summary: 'Whether it runs', tag: 'health', open: true },
  'GET /status/ready': { summary: 'Whether clients may be sent here', tag: 'health', open: true },
};

/** A path that nobody described is called by its name. */
export function describe(method: string, path: string, row: ResourceRow | undefined): Described {
  if (row !== undefined) return ofResource(method, path, row);
  if (path.endsWith('/:id/history')) return { summary: 'What was changed of one resource', tag: 'history', query: paging };
  return others[`${method} ${path}`] ?? { summary: `${method} ${path}`, tag: 'other' };
}

const verbs: Readonly<Record<string, string>> = { PUT: 'Creates or replaces', POST: 'Creates', PATCH: 'Changes a part of', DELETE: 'Deletes' };

function ofResource(method: string, path: string, { path: own, all, singular }: ResourceRow): Described {
  const tag = own.split('/')[0]!;
  if (method === 'GET' && (path === own || path === all)) {
    return {
      summary: `Lists each ${singular}`, tag,
      query: {
        page: 'From 1.', page_size: '10 to 500.', name: 'Regular expression, searched in names.',
        label: 'Key of a label, or `key:value`.', filter: '`upstream_id=…&service_id=…`',
      },
    };
  }
  if (method === 'GET') return { summary: `Shows one ${singular}`, tag };
  const more = method === 'DELETE' ? { force: '`true`: also what others use.' } : ending;
  return { summary: `${verbs[method] ?? method} one ${singular}`, tag, query: { ...writing, ...more } };
}
