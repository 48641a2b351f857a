// What is accepted and does nothing is told when it is written: plugins without requests, variables that nobody knows.
import { expect, test, vi } from 'vitest';
import { definePlugin } from '../../core/plugin.ts';
import { startMillrace } from '../support/millrace-process.ts';
import lineProtocol from '../support/line-protocol.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

vi.setConfig({ testTimeout: 30_000 });

const upstream = { type: 'memory' };
const routes = '/apisix/admin/stream_routes';
const limit = { count: 9, time_window: 60 };

function told({ records }: Pick<Proxy, 'records'>, code: string): unknown[] {
  return records.filter((each) => each['code'] === code).map(({ route, plugin, msg }) => `${String(route)} ${String(plugin)}: ${String(msg)}`);
}
const unknown = (name: string, meant?: string, protocol = 'redis'): string =>
  `unknown variable "${name}" on a route of protocol ${protocol}: it reads as empty${meant === undefined ? '' : `, did you mean "${meant}"?`}`;

test('a plugin for requests on a route without protocol is told with its phases, one for connections or of a global rule is not', async () => {
  await using proxy = await startProxy({ route: null });
  const nodes = { '127.0.0.1:6379': 1 };
  await proxy.put('/apisix/admin/global_rules/1', { plugins: { 'fault-injection': { commands: ['get'], delay: { duration: 0 } } } });
  await proxy.put(`${routes}/1`, { upstream: { nodes }, plugins: {
    'limit-count': limit, 'request-id': {}, mocking: { rules: [{ error: 'x' }] },
    'ip-restriction': { blacklist: ['10.0.0.1'] }, 'limit-conn': { conn: 9, burst: 0, default_conn_delay: 1, key: 'remote_addr' },
    logger: { file: { path: `${proxy.folder}/log` } },
  } });
  const nothing = 'and a route without protocol has none: it does nothing here';
  expect(told(proxy, 'PLUGIN_IDLE').toSorted()).toEqual([
    `1 limit-count: it runs for requests only (request), ${nothing}`,
    `1 mocking: it runs for requests only (request), ${nothing}`,
    `1 request-id: it gives requests a variable, ${nothing}`,
  ]);
  await proxy.put(`${routes}/1`, { upstream, protocol: { name: 'redis' }, plugins: { 'limit-count': limit, 'request-id': {} } });
  expect(told(proxy, 'PLUGIN_IDLE')).toHaveLength(3);
});

test('names that nobody knows are told wherever a plugin reads them, with the nearest that there is', async () => {
  await using proxy = await startProxy({ route: null });
  await proxy.put('/apisix/admin/plugin_metadata/file-logger', { log_format: { a: '$remote_adr and $command' } });
  await proxy.put(`${routes}/1`, { upstream, protocol: { name: 'redis', logger: [
    { name: 'logger', filter: [['comand', '==', 'get']], conf: { file: { path: `${proxy.folder}/1` }, log_format: { who: '$consumer', key: '$key' } } },
  ] }, plugins: {
    'file-logger': { path: `${proxy.folder}/2` },
    'limit-count': { ...limit, key: 'remot_addr' },
    'limit-conn': { conn: 9, burst: 0, default_conn_delay: 1, key: '$usr $server_port', key_type: 'var_combination' },
    'fault-injection': { abort: { error: '${redis_cmd} and $$price', vars: [['http_host', '==', 'x']] } },
    mocking: { rules: [{ error: '$out_come', vars: [['arg_x', '==', '1']] }], _meta: { filter: [['sessionid', '>', 1]] } },
  } });
  expect(told(proxy, 'VARIABLE_UNKNOWN').toSorted()).toEqual([
    `1 fault-injection: ${unknown('http_host')}`,
    `1 fault-injection: ${unknown('redis_cmd')}`,
    `1 file-logger: ${unknown('remote_adr', 'remote_addr')}`,
    `1 limit-conn: ${unknown('usr', 'user')}`,
    `1 limit-count: ${unknown('remot_addr', 'remote_addr')}`,
    `1 logger: ${unknown('comand', 'command')}`,
    `1 logger: ${unknown('consumer')}`,
    `1 mocking: ${unknown('arg_x')}`,
    `1 mocking: ${unknown('out_come', 'outcome')}`,
    `1 mocking: ${unknown('sessionid', 'session_id')}`,
  ]);
  const { body } = await proxy.call('GET', '/apisix/admin/plugins/status');
  expect(body.places.find(({ plugin }: { plugin: string }) => plugin === 'limit-count'))
    .toMatchObject({ route: '1', warnings: [`VARIABLE_UNKNOWN: ${unknown('remot_addr', 'remote_addr')}`] });
  // A route that stays as it is is not told of again.
  await proxy.put(`${routes}/2`, { remote_addr: '10.0.0.1', upstream, protocol: { name: 'redis' } });
  expect(told(proxy, 'VARIABLE_UNKNOWN')).toHaveLength(10);
});

test('what a protocol, TLS, a connection or a plugin of the route knows is not told, nor what plugins read on their own account', async () => {
  const own = definePlugin<{ read?: string }>({
    name: 'own', priority: 1, schema: { type: 'object', properties: { read: { type: 'string' } } },
    setup({ read }, context) {
      context.provide('tenant', () => 'a');
      const inner = context.variable('of_no_configuration');
      const outer = read === undefined ? inner : context.variable(read);
      return { request(request) { inner(request); outer(request); } };
    },
  });
  await using proxy = await startProxy({ route: null, plugins: [own], protocols: [lineProtocol] });
  const format = (...names: string[]): object => ({ file: { path: `${proxy.folder}/log` }, log_format: Object.fromEntries(names.map((name) => [name, `$${name}`])) });
  await proxy.put(`${routes}/1`, { upstream, protocol: { name: 'redis' }, plugins: {
    'request-id': {}, own: {}, opentelemetry: { attributes: { tenant: '$tenant' } },
    logger: format('redis_cmd_line', 'redis_db', 'redis_subcommand', 'redis_client_name', 'sni', 'ssl_client_verify', 'request_id', 'tenant', 'consumer_name', 'reason'),
  } });
  // Nobody knows what this one knows.
  await proxy.put(`${routes}/2`, { remote_addr: '10.0.0.1', upstream: { nodes: { '127.0.0.1:1': 1 } }, protocol: { name: 'line' }, plugins: { logger: format('line_length') } });
  expect(told(proxy, 'VARIABLE_UNKNOWN')).toEqual([]);
  // On another route nobody provides it; and a plugin of one's own is no exception.
  await proxy.put(`${routes}/3`, { remote_addr: '10.0.0.2', upstream, protocol: { name: 'redis' }, plugins: { logger: format('request_id') } });
  await proxy.put(`${routes}/4`, { remote_addr: '10.0.0.3', upstream, protocol: { name: 'redis' }, plugins: { own: { read: 'tennant' } } });
  await proxy.put(`${routes}/5`, { remote_addr: '10.0.0.4', upstream: { nodes: { '127.0.0.1:1': 1 } }, plugins: { logger: format('redis_db', 'bytes_out') } });
  expect(told(proxy, 'VARIABLE_UNKNOWN')).toEqual([
    `3 logger: ${unknown('request_id')}`, `4 own: ${unknown('tennant', 'tenant')}`, `5 logger: ${unknown('redis_db', undefined, 'tcp')}`,
  ]);
});

test('of several workers one tells it', async () => {
  await using millrace = await startMillrace({ settings: { workers: 3 } });
  await millrace.put(`${routes}/1`, { upstream, protocol: { name: 'redis' }, plugins: { 'limit-count': { ...limit, key: 'usr' } } });
  await millrace.put(`${routes}/2`, { remote_addr: '10.0.0.1', upstream: { nodes: { '127.0.0.1:1': 1 } }, plugins: { 'limit-count': limit } });
  const seen = (): unknown[] => millrace.records().filter(({ code }) => code === 'VARIABLE_UNKNOWN' || code === 'PLUGIN_IDLE').map(({ code, worker }) => [code, worker]);
  await expect.poll(seen).toEqual([['VARIABLE_UNKNOWN', 0], ['PLUGIN_IDLE', 0]]);
});

test('plugins and loggers of a subordinate route, and proxy_protocol with a protocol, are told: nothing comes of them', async () => {
  await using proxy = await startProxy({ route: null });
  const nodes = { '127.0.0.1:6379': 1 };
  await proxy.put(`${routes}/main`, { server_port: proxy.port, upstream: { nodes, proxy_protocol: 1 }, protocol: { name: 'redis' } });
  const idle = (): unknown[] => proxy.records.filter(({ code }) => code === 'CONFIG_IDLE').map(({ route, msg }) => `${String(route)}: ${String(msg)}`);
  const header = 'main: upstream.proxy_protocol: with a protocol, clients share connections to nodes: there is no one client to name, and none is named';
  expect(idle()).toEqual([header]);
  await proxy.put(`${routes}/main`, { server_port: proxy.port, upstream: { nodes }, protocol: { name: 'redis' } });
  await proxy.put(`${routes}/users`, { upstream: { nodes }, plugins: { 'limit-count': limit }, protocol: { name: 'redis', superior_id: 'main', conf: { match: { keys: ['user:*'] } } } });
  expect(idle()).toEqual([header,
    'main: stream route users: it is subordinate, and lends its upstream only; commands pass the plugins of main: nothing comes of limit-count']);
  await proxy.put(`${routes}/tcp`, { server_addr: '127.0.0.9', upstream: { nodes, proxy_protocol: 1 } });
  expect(idle()).toHaveLength(2);
});

test('a route that leads to itself is told, by whichever address of the listener; one that another route takes there is not', async () => {
  const [own, unused] = [await freePort(), await freePort()];
  await using proxy = await startProxy({ route: null });
  const loops = (): unknown[] => proxy.records.filter(({ code }) => code === 'CONFIG_LOOP').map(({ route, node }) => `${String(route)} ${String(node)}`);
  const put = (id: string, node: string, more: object = {}): Promise<void> =>
    proxy.put(`${routes}/${id}`, { upstream: { nodes: { [node]: 1 } }, protocol: { name: 'redis' }, ...more });
  const hosts = ['127.0.0.1', 'localhost', '0.0.0.0'];
  for (const host of hosts) await put('1', `${host}:${proxy.port}`);
  expect(loops()).toEqual(hosts.map((host) => `1 ${host}:${proxy.port}`));
  // A port that the route opens itself.
  await put('2', `127.0.0.1:${own}`, { server_port: own });
  expect(loops().slice(3)).toEqual([`2 127.0.0.1:${own}`]);
  // Nobody listens there; the other one listens elsewhere; another route takes it; it asks for TLS; it takes nobody from this machine.
  await put('1', `127.0.0.1:${unused}`);
  await put('1', `127.0.0.9:${proxy.port}`);
  await put('2', `127.0.0.1:${proxy.port}`, { server_port: own });
  await put('1', `127.0.0.1:${proxy.port}`, { upstream: { nodes: { [`127.0.0.1:${proxy.port}`]: 1 }, scheme: 'tls' } });
  await put('1', `127.0.0.1:${proxy.port}`, { remote_addr: '10.0.0.0/8' });
  await put('1', `127.0.0.1:${proxy.port}`, { sni: 'a.example' });
  expect(loops()).toHaveLength(4);
});

test('a default upstream that is the listener is told, too', async () => {
  const port = await freePort();
  await using proxy = await startProxy({ route: null, settings: { listeners: [{ port, protocol: 'redis' }] }, environment: { MILLRACE_UPSTREAM: `127.0.0.1:${port}` } });
  expect(proxy.records.filter(({ code }) => code === 'CONFIG_LOOP')).toMatchObject([{ node: `127.0.0.1:${port}` }]);
});
