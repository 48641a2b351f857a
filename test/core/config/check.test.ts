import { expect, test } from 'vitest';
import { checkResource, checkUnused } from '../../../core/config/check.ts';
import { ReferenceGraph, type Refers } from '../../../core/config/graph.ts';
import type { Kind, Resource, Value } from '../../../core/config/resource.ts';
import { emptyConfig } from '../../../core/config/source.ts';
import { knownThings } from './references.ts';

const nodes = { '127.0.0.1:6379': 1 };
const upstream = { nodes };
const key64 = 'K'.repeat(64);
const references = knownThings({
  upstreams: { u1: upstream },
  stream_routes: { superior: { upstream, protocol: { name: 'redis' } }, plain: { upstream } },
});
const check = (kind: Kind, value: unknown, id = '1'): string[] =>
  checkResource(kind, id, value, references).map((each) => each.message);

test.each<[Kind, unknown]>([
  ['stream_routes', { upstream: { type: 'none', nodes }, protocol: { name: 'redis',
    conf: { faults: [{ commands: ['get'], delay: 5 }] } } }],
  ['stream_routes', { upstream_id: 'u1', remote_addr: '10.0.0.0/8', server_addr: '::1', server_port: 9101 }],
  ['stream_routes', { upstream_id: 'u1', remote_addr: '2001:db8::/32', sni: '*.example.com' }],
  ['stream_routes', { upstream, plugins: { 'limit-count': { count: 5, _meta: { disable: false } } },
    labels: { a: 'b' } }],
  ['stream_routes', { upstream, id: 1, name: 'n', desc: '', status: 0, priority: -3 }],
  ['stream_routes', { upstream, protocol: { name: 'redis', superior_id: 'superior',
    metric: { enable: true } } }],
  ['stream_routes', { upstream, protocol: { name: 'redis',
    logger: [{ name: 'limit-count', filter: [['rpc_time', '==', '1']], conf: { count: 1 } }] } }],
  ['stream_routes', { upstream: { nodes, type: 'chash', key: 'remote_addr', hash_on: 'vars',
    pass_host: 'node' } }],
  ['upstreams', { type: 'memory' }],
  ['upstreams', { nodes: { '[::1]:6379': 1 }, timeout: { connect: 0.5 }, retries: 0, scheme: 'tls',
    tls: { verify: true } }],
  ['upstreams', { nodes: [{ host: 'redis-1.local', port: 6379, weight: 1, priority: -1 },
    { host: '[::1]', port: 1, weight: 0 }] }],
  ['upstreams', { nodes, auth: { username: 'u', password: 'p' }, keepalive_pool: { size: 1, idle_timeout: 0,
    requests: 1 } }],
  ['upstreams', { nodes: [] }],
  ['upstreams', { nodes: { redis: 1, '[::1]': 1 } }],
  ['upstreams', { nodes: [{ host: 'redis_1', weight: 1 }] }],
])('a good object of %s is accepted: %j', (kind, value) => {
  expect(check(kind, value)).toEqual([]);
});

const route = (more: object): unknown => ({ upstream_id: 'u1', ...more });
const node = (more: object): unknown => ({ nodes: [{ host: 'a', port: 1, weight: 1, ...more }] });

test.each<[Kind, unknown, string]>([
  ['stream_routes', {}, 'upstream: expected upstream, upstream_id or service_id, got none of them'],
  ['stream_routes', [], 'expected object, got array of 0'],
  ['stream_routes', null, 'expected object, got null'],
  ['stream_routes', 'x', 'expected object, got string "x"'],
  ['stream_routes', route({ plugns: {} }), 'unknown property "plugns", did you mean "plugins"?'],
  ['stream_routes', route({ server_prot: 1 }), 'unknown property "server_prot", did you mean "server_port"?'],
  ['stream_routes', route({ server_port: 0 }), 'server_port: expected 1..65535, got 0'],
  ['stream_routes', route({ server_port: 65536 }), 'server_port: expected 1..65535, got 65536'],
  ['stream_routes', route({ server_port: '9101' }), 'server_port: expected integer, got string "9101"'],
  ['stream_routes', route({ server_port: 1.5 }), 'server_port: expected integer, got 1.5'],
  ['stream_routes', route({ remote_addr: ':/8' }),
    'remote_addr: invalid remote_addr: :/8, expected IPv4 or IPv6 address or CIDR'],
  ['stream_routes', route({ remote_addr: '10.0.0.0/33' }),
    'remote_addr: invalid remote_addr: 10.0.0.0/33, expected IPv4 or IPv6 address or CIDR'],
  ['stream_routes', route({ remote_addr: '10.0.0.256' }),
    'remote_addr: invalid remote_addr: 10.0.0.256, expected IPv4 or IPv6 address or CIDR'],
  ['stream_routes', route({ remote_addr: '::1/129' }),
    'remote_addr: invalid remote_addr: ::1/129, expected IPv4 or IPv6 address or CIDR'],
  ['stream_routes', route({ remote_addr: '' }), 'remote_addr: expected 1..64 characters, got 0'],
  ['stream_routes', route({ server_addr: 'localhost' }),
    'server_addr: invalid server_addr: localhost, expected IPv4 or IPv6 address or CIDR'],
  ['stream_routes', route({ sni: 'a b' }), 'sni: expected host name, *.host name or *, got "a b"'],
  ['stream_routes', route({ sni: 'a.*.b' }), 'sni: expected host name, *.host name or *, got "a.*.b"'],
  ['stream_routes', route({ upstream_id: 'u9' }),
    'upstream_id: failed to fetch upstream info by upstream id [u9], response code: 404'],
  ['stream_routes', route({ upstream_id: 'a/b' }),
    'upstream_id: expected 1..64 letters, digits, -, _, . or an integer from 1, got "a/b"'],
  ['stream_routes', route({ upstream_id: 0 }),
    'upstream_id: expected 1..64 letters, digits, -, _, . or an integer from 1, got 0'],
  ['stream_routes', route({ service_id: '1' }),
    'service_id: failed to fetch service info by service id [1], response code: 404'],
  ['stream_routes', route({ plugins: [] }), 'plugins: expected object, got array of 0'],
  ['stream_routes', route({ plugins: { 'limit-count': 1 } }), 'plugins.limit-count: expected object, got 1'],
  ['stream_routes', route({ plugins: { 'limit-cuont': {} } }),
    'plugins.limit-cuont: unknown plugin [limit-cuont]'],
  ['stream_routes', route({ plugins: { 'limit-count': { count: '5' } } }),
    'plugins.limit-count.count: expected integer, got string "5"'],
  ['stream_routes', route({ plugins: { 'limit-count': {} } }),
    'plugins.limit-count.count: expected integer, got nothing'],
  ['stream_routes', route({ protocol: {} }), 'protocol.name: expected string, got nothing'],
  ['stream_routes', route({ protocol: { name: 'xxx' } }), 'protocol.name: unknown protocol [xxx]'],
  ['stream_routes', route({ protocol: { name: 'redis', conf: 1 } }), 'protocol.conf: expected object, got 1'],
  ['stream_routes', route({ protocol: { name: 'redis', conf: { faults: 'a' } } }),
    'protocol.conf.faults: expected array, got string "a"'],
  ['stream_routes', route({ protocol: { name: 'redis', conf: { faults: [{}] } } }),
    'protocol.conf.faults[0].delay: expected a value, got nothing'],
  ['stream_routes', route({ protocol: { name: 'redis', cnf: {} } }),
    'protocol: unknown property "cnf", did you mean "conf"?'],
  ['stream_routes', route({ protocol: { name: 'redis', logger: [{}] } }),
    'protocol.logger[0].name: expected string, got nothing'],
  ['stream_routes', route({ protocol: { name: 'redis', logger: [{ name: 'nope' }] } }),
    'protocol.logger[0].name: unknown plugin [nope]'],
  ['stream_routes', route({ protocol: { name: 'redis',
    logger: [{ name: 'limit-count', conf: { count: 0 } }] } }),
    'protocol.logger[0].conf.count: expected at least 1, got 0'],
  ['stream_routes', route({ protocol: { name: 'redis', logger: [{ name: 'limit-count', conf: { count: 1 },
    filter: [['a']] }] } }),
    'protocol.logger[0].filter: expected an operator, got none'],
  ['stream_routes', route({ protocol: { name: 'redis', metric: { enable: 1 } } }),
    'protocol.metric.enable: expected boolean, got 1'],
  ['stream_routes', route({ protocol: { name: 'redis', superior_id: '1' } }),
    'protocol.superior_id: stream route can not set itself as superior_id'],
  ['stream_routes', route({ protocol: { name: 'redis', superior_id: '999' } }),
    'protocol.superior_id: failed to fetch stream routes[999], response code: 404'],
  ['stream_routes', route({ protocol: { name: 'line', superior_id: 'superior' } }),
    'protocol.superior_id: protocol mismatch: subordinate protocol [line] does not match superior protocol [redis]'],
  ['stream_routes', route({ protocol: { name: 'line', superior_id: 'plain' } }),
    'protocol.superior_id: protocol mismatch: subordinate protocol [line] does not match superior protocol [none]'],
  ['stream_routes', route({ status: 2 }), 'status: expected one of 0, 1, got 2'],
  ['stream_routes', route({ priority: 0.5 }), 'priority: expected integer, got 0.5'],
  ['stream_routes', route({ labels: { a: 1 } }),
    'labels.a: expected text of 1..256 characters without white space, got 1'],
  ['stream_routes', route({ labels: { a: 'b c' } }),
    'labels.a: expected text of 1..256 characters without white space, got "b c"'],
  ['stream_routes', route({ name: '' }), 'name: expected 1..256 characters, got 0'],
  ['stream_routes', route({ desc: 'd'.repeat(257) }), 'desc: expected at most 256 characters, got 257'],
  ['stream_routes', route({ create_time: 1 }), 'create_time: the property is forbidden:  create_time'],
  ['stream_routes', { upstream: { nodes, update_time: 1 } },
    'upstream.update_time: the property is forbidden:  update_time'],
  ['stream_routes', route({ id: '2' }), 'id: wrong stream route id'],
  ['stream_routes', { upstream: { nodes: 'x' } },
    'upstream.nodes: expected object of "host:port": weight, or array of nodes, got "x"'],
  ['stream_routes', { upstream: { nodes, type: 'chash' } },
    'upstream.key: missing key: type chash expects one, such as remote_addr'],
  ['stream_routes', { upstream: {} },
    'upstream.nodes: expected object of "host:port": weight, or array of nodes, got nothing'],
  ['stream_routes', { upstream: { nodes: { '::1:6379': 1 } } },
    'upstream.nodes["::1:6379"]: IPv6 address must be enclosed with \'[\' and \']\', got "::1:6379"'],
  ['upstreams', { nodes: { '': 1 } }, 'nodes[""]: expected an address such as "127.0.0.1:6379", got ""'],
  ['upstreams', { nodes: { 'a:0': 1 } }, 'nodes["a:0"]: invalid port 0, expected 1..65535'],
  ['upstreams', { nodes: { 'a:70000': 1 } }, 'nodes["a:70000"]: invalid port 70000, expected 1..65535'],
  ['upstreams', { nodes: { 'a:1': -1 } }, 'nodes["a:1"]: expected 0..1000000, got -1'],
  ['upstreams', { nodes: { 'a:1': 'x' } }, 'nodes["a:1"]: expected integer, got string "x"'],
  ['upstreams', node({ port: 0 }), 'nodes[0].port: expected 1..65535, got 0'],
  ['upstreams', node({ weight: -1 }), 'nodes[0].weight: expected 0..1000000, got -1'],
  ['upstreams', node({ host: 'a b' }), 'nodes[0].host: expected host name, IP address, or unix:/path, got "a b"'],
  ['upstreams', node({ host: '::1' }),
    'nodes[0].host: IPv6 address must be enclosed with \'[\' and \']\', got "::1"'],
  ['upstreams', node({ host: '[::g]' }), 'nodes[0].host: expected host name or IP address, got "[::g]"'],
  ['upstreams', node({ wieght: 1 }), 'nodes[0]: unknown property "wieght", did you mean "weight"?'],
  ['upstreams', { nodes: [{ host: 'a', port: 1 }] }, 'nodes[0].weight: expected integer, got nothing'],
  ['upstreams', { nodes: { 'a:x': 1 } }, 'nodes["a:x"]: invalid port x, expected 1..65535'],
  ['upstreams', { nodes: { '10.0.0.256:1': 1 } },
    'nodes["10.0.0.256:1"]: expected host name or IP address, got "10.0.0.256"'],
  ['upstreams', { nodes: [5] }, 'nodes[0]: expected object, got 5'],
  ['upstreams', { nodes, type: 'random' },
    'type: expected one of "roundrobin", "chash", "least_conn", "ewma", "none", "memory", got "random"'],
  ['upstreams', { nodes, hash_on: 'moon' },
    'hash_on: expected one of "vars", "vars_combinations", "consumer", "header", "cookie", got "moon"'],
  ['upstreams', { nodes: { 'unix:run/redis': 1 } },
    'nodes["unix:run/redis"]: expected unix: and an absolute path of at most 107 bytes, got "unix:run/redis"'],
  ['upstreams', { nodes: { [`unix:/${'x'.repeat(107)}`]: 1 } },
    expect.stringContaining('expected unix: and an absolute path of at most 107 bytes')],
  ['upstreams', { nodes, retries: -1 }, 'retries: expected 0..255, got -1'],
  ['upstreams', { nodes, retry_timeout: -1 }, 'retry_timeout: expected 0..2147483, got -1'],
  ['upstreams', { nodes, timeout: { connect: 0 } },
    'timeout.connect: expected more than 0 and at most 2147483, got 0'],
  ['upstreams', { nodes, timeout: { reed: 1 } }, 'timeout: unknown property "reed", did you mean "read"?'],
  ['upstreams', { nodes, timeout: 5 }, 'timeout: expected object, got 5'],
  ['upstreams', { nodes, keepalive_pool: { size: 0 } }, 'keepalive_pool.size: expected 1..65535, got 0'],
  ['upstreams', { nodes, scheme: 'ftp' },
    'scheme: expected one of "tcp", "tls", "udp", "http", "https", "grpc", "grpcs", "kafka", got "ftp"'],
  ['upstreams', { nodes, checks: { passive: {} } }, 'checks.active: expected object, got nothing'],
  ['upstreams', { nodes, checks: { active: { healthy: { interval: 0 } } } },
    'checks.active.healthy.interval: expected 1..2147483, got 0'],
  ['upstreams', { nodes, checks: { active: { unhealthy: { tcp_failures: 255 } } } },
    'checks.active.unhealthy.tcp_failures: expected 1..254, got 255'],
  ['upstreams', { nodes, checks: { active: { type: 'tcp', role: 'master' } } },
    'checks.active.role: expected a protocol\'s check, such as type redis, got "master"'],
  ['upstreams', { nodes, service_name: 'a', discovery_type: 'dns' },
    'nodes: expected nodes, or service_name with discovery_type, got both'],
  ['upstreams', { service_name: 'a' }, 'discovery_type: expected dns or file, got nothing'],
  ['upstreams', { discovery_type: 'dns' }, 'service_name: expected a name, because discovery_type is given, got nothing'],
  ['upstreams', { nodes, pass_host: 'rewrite' }, 'upstream_host: `upstream_host` can\'t be empty when `pass_host` is `rewrite`'],
  ['upstreams', { nodes, tls: { client_cert: key64 } },
    'tls.client_key: expected beside client_cert, got nothing'],
  ['upstreams', { nodes, tls: { client_cert_id: '1' } },
    'tls.client_cert_id: failed to fetch ssl info by ssl id [1], response code: 404'],
  ['upstreams', { nodes, auth: {} }, 'auth.password: expected string, got nothing'],
  ['upstreams', { nodes, auth: { password: 12345 } }, 'auth.password: expected string, got number (hidden)'],
  ['upstreams', { nodes, labels: [] }, 'labels: expected object, got array of 0'],
])('a wrong object of %s is refused with path, expectation and value: %j', (kind, value, expected) => {
  expect(check(kind, value)).toEqual([expected]);
});

test.each(['*invalid', 'a/b', '', 'x'.repeat(65), '__proto__', 'constructor', '.', '..',
  'ä'])('the id %j is refused', (id) => {
  expect(check('upstreams', upstream, id)).toHaveLength(1);
});

test.each(['a-b-c-ABC_0123', '1', 'a.b', 'x'.repeat(64)])('the id %j is accepted', (id) => {
  expect(check('upstreams', upstream, id)).toEqual([]);
});

test.each(['__proto__', 'prototype', 'constructor'])('a property named %s is refused in every kind',
  (name) => {
  const value = JSON.parse(`{"upstream":{"nodes":{"a:1":1}},"labels":{"${name}":"x"}}`) as unknown;
  expect(check('stream_routes', value)).toEqual([`labels.${name}: the name is forbidden`]);
});

test('plugin metadata is checked by its plugin', () => {
  expect(check('plugin_metadata', { count: 1 }, 'limit-count')).toEqual([]);
  expect(check('plugin_metadata', { count: 0 },
    'limit-count')).toEqual(['count: expected at least 1, got 0']);
  expect(check('plugin_metadata', {}, 'nope')).toEqual(['unknown plugin [nope]']);
});

test('a resource that others use is not to be deleted', () => {
  const config = emptyConfig();
  const add = (kind: Kind, id: string, value: Value): void => {
    (config.resources[kind] as Map<string, Resource>).set(
      id, { kind, id, value, origin: 'store', createdIndex: 1, modifiedIndex: 1 });
  };
  add('stream_routes', '2', {
    upstream_id: 'u1', service_id: 's', plugin_config_id: 'p', protocol: { name: 'redis', superior_id: 5 },
  });
  add('services', 's', { upstream: { tls: { client_cert_id: 'c' } }, plugins: { split: { to: 'u3' }, x: { key: '$secret://env/e/name' } } });
  add('credentials', 'jack/1', { plugins: {} });
  const refers: Refers = (plugin, conf) => (plugin === 'split' ? [{ kind: 'upstreams', id: String(conf['to']) }] : []);
  const graph = new ReferenceGraph(config, refers);
  const why = (kind: Kind, id: string): string | undefined => checkUnused(kind, id, graph.usersOf(kind, id))[0]?.text;
  expect(why('upstreams', 'u1')).toBe('can not delete this upstream, stream_route [2] is still using it now');
  expect(why('upstreams', 'u3')).toBe('can not delete this upstream, plugin in service [s] is still using it now');
  expect(why('services', 's')).toBe('can not delete this service directly, stream_route [2] is still using it now');
  expect(why('plugin_configs', 'p')).toBe('can not delete this plugin config, stream_route [2] is still using it now');
  expect(why('ssls', 'c')).toBe('can not delete this ssl, service [s] is still using it now');
  expect(why('secrets', 'env/e')).toBe('can not delete this secret, service [s] is still using it now');
  expect(why('stream_routes', '5'))
    .toBe('can not delete this stream route directly, stream route [2] is still using it as superior_id');
  expect(why('upstreams', 'u2')).toBeUndefined();
  // Its credentials go with it.
  expect(why('consumers', 'jack')).toBeUndefined();
  expect(graph.routesOf([{ kind: 'ssls', id: 'c' }])).toEqual(['2']);
  expect(graph.routesOf([{ kind: 'plugin_metadata', id: 'split' }])).toEqual(['2']);
  expect(graph.routesOf([{ kind: 'upstreams', id: 'u2' }])).toEqual([]);
});
