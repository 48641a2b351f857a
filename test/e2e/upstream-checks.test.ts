// Health checks of upstreams, on a running proxy with real servers.
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startNamed } from '../support/named-server.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { TextClient } from '../support/text-client.ts';

vi.setConfig({ testTimeout: 30_000 });

const once = { tcp_failures: 1, timeouts: 1, protocol_failures: 1, http_failures: 1 };
/** Checks that decide at the first answer. */
const quick = (type: string, more: object = {}): object => ({
  active: { type, healthy: { interval: 1, successes: 1 }, unhealthy: { interval: 1, ...once }, ...more },
});
const node = (port: number, priority = 0): object => ({ host: '127.0.0.1', port, weight: 1, priority });

async function health(proxy: Proxy, path = '/stream_routes/1'): Promise<any> {
  return (await proxy.call('GET', `/v1/healthcheck${path}`)).body;
}

async function statuses(proxy: Proxy): Promise<string[]> {
  return (await health(proxy)).nodes?.map(({ status }: { status: string }) => status);
}

/** A new connection's greeting: which named server it led to. */
async function greeting(proxy: Proxy): Promise<string> {
  await using client = await TextClient.connect(proxy.port);
  return (await client.read(1))[0]!;
}

test('SR-47 a dead node of the highest priority is found before any client is there, and avoided by all', async () => {
  await using alive = await startNamed('alive');
  const dead = await freePort();
  await using proxy = await startProxy({ route: { protocol: undefined, upstream: {
    nodes: [node(dead, 10), node(alive.port)], retries: 0, checks: quick('tcp'),
  } } });
  await expect.poll(() => statuses(proxy)).toEqual(['unhealthy', 'healthy']);
  for (let n = 0; n < 5; n++) expect(await greeting(proxy)).toBe('alive');
  expect(proxy.records.filter(({ code }) => code === 'CONNECT_FAILED')).toEqual([]);
  expect(proxy.records.find(({ code }) => code === 'NODE_DOWN')).toMatchObject({
    node: `127.0.0.1:${dead}`, reason: expect.stringContaining('ECONNREFUSED'),
  });
});

test('SR-48 with passive checks of one failure, a node is left out after one failed connect', async () => {
  await using alive = await startNamed('alive');
  await using flaky = await startNamed('flaky');
  await using proxy = await startProxy({ route: { protocol: undefined, upstream: {
    nodes: [node(flaky.port, 10), node(alive.port)],
    // Active checks are too slow to have seen anything.
    checks: { active: { type: 'tcp', healthy: { interval: 600 }, unhealthy: { interval: 600 } }, passive: { type: 'tcp', unhealthy: { tcp_failures: 1 } } },
  } } });
  await expect.poll(() => flaky.accepted).toBe(1);
  expect(await greeting(proxy)).toBe('flaky');
  await flaky.stop();
  expect(await greeting(proxy)).toBe('alive');
  expect(await statuses(proxy)).toEqual(['unhealthy', 'healthy']);
  expect((await health(proxy)).nodes[0].counter).toMatchObject({ tcp_failure: 1, success: 0 });
});

test('SR-49 the health of a route, and of all, in the reference\'s shape and as a table', async () => {
  await using alive = await startNamed('alive');
  const dead = await freePort();
  const upstream = { nodes: [node(alive.port), node(dead)], checks: quick('tcp') };
  await using proxy = await startProxy({ route: { protocol: undefined, upstream } });
  await proxy.put('/apisix/admin/upstreams/shared', { nodes: [node(alive.port)], checks: quick('tcp') });
  await proxy.put('/apisix/admin/services/by', { upstream_id: 'shared' });
  await proxy.put('/apisix/admin/stream_routes/2', { remote_addr: '10.0.0.1', service_id: 'by' });
  await proxy.put('/apisix/admin/stream_routes/3', { remote_addr: '10.0.0.2', upstream: { nodes: [node(alive.port)] } });
  await expect.poll(() => statuses(proxy)).toEqual(['healthy', 'unhealthy']);

  const one = await health(proxy);
  expect(one).toEqual({ name: '/apisix/stream_routes/1', type: 'tcp', nodes: [expect.anything(), expect.objectContaining({
    ip: '127.0.0.1', port: dead, hostname: '127.0.0.1', status: 'unhealthy',
    counter: { success: 0, http_failure: 0, tcp_failure: 1, timeout_failure: 0, protocol_failure: 0 },
    last_error: `connect ECONNREFUSED 127.0.0.1:${dead}`, available: false,
  })] });
  expect(one.nodes[0]).toMatchObject({ status: 'healthy', available: true, last_error: null });
  const now = Date.now() / 1000;
  expect(Math.abs(one.nodes[1].checked_at - now)).toBeLessThan(5);
  expect(one.nodes[1].next_check_at).toBeGreaterThan(one.nodes[1].checked_at);

  expect((await health(proxy, '')).map(({ name }: { name: string }) => name)).toEqual(['/apisix/stream_routes/1', '/apisix/upstreams/shared']);
  expect((await health(proxy, '/upstreams/shared')).nodes).toHaveLength(1);
  const refused = async (path: string): Promise<unknown> => {
    const { status, body } = await proxy.call('GET', `/v1/healthcheck${path}`);
    return [status, body.error_msg];
  };
  expect(await refused('/upstreams/9')).toEqual([404, 'upstreams[9] not found']);
  expect(await refused('/stream_routes/3')).toEqual([404, 'no checker for stream_routes[3]']);
  expect(await refused('/upstreams')).toEqual([404, 'missing src id for src type upstreams']);
  expect(await refused('/moons/1')).toEqual([400, 'invalid src type moons']);

  const html = await fetch(`${proxy.admin}/v1/healthcheck`, { headers: { accept: 'text/html' } });
  expect(html.headers.get('content-type')).toContain('text/html');
  expect(await html.text()).toContain(`<td>127.0.0.1:${dead}</td><td>127.0.0.1</td><td>unhealthy</td>`);

  const { body: all } = await proxy.call('GET', '/apisix/admin/upstreams/status');
  expect(all.list.find(({ name }: { name: string }) => name === '/apisix/upstreams/shared')).toMatchObject({ routes: ['2'], type: 'tcp' });
  expect(all.list.find(({ name }: { name: string }) => name === '/apisix/stream_routes/3')).toMatchObject({ type: null, nodes: [{ status: 'healthy' }] });
});

test('a node must fail as often as configured, and comes back after as many successes', async () => {
  await using server = await startNamed('a');
  await using other = await startNamed('b');
  await using proxy = await startProxy({ route: { protocol: undefined, upstream: {
    nodes: [node(server.port, 1), node(other.port)],
    checks: { active: { type: 'tcp', healthy: { interval: 1, successes: 2 }, unhealthy: { interval: 1, tcp_failures: 2 } } },
  } } });
  await expect.poll(() => server.accepted).toBeGreaterThan(0);
  const seen: string[] = [];
  const watch = async (until: string): Promise<void> => {
    await expect.poll(async () => {
      const [status = ''] = await statuses(proxy);
      if (seen.at(-1) !== status) seen.push(status);
      return status;
    }, { interval: 40, timeout: 10_000 }).toBe(until);
  };
  await server.stop();
  await watch('unhealthy');
  expect(await greeting(proxy)).toBe('b');
  await server.restart();
  await watch('healthy');
  expect(seen.filter((status, index) => index > 0 || status !== 'healthy')).toEqual(['mostly_healthy', 'unhealthy', 'mostly_unhealthy', 'healthy']);
  expect(await greeting(proxy)).toBe('a');
});

test('when no node is well all are used again with a warning, or none when so configured', async () => {
  await using server = createServer((socket) => socket.resume().on('error', () => undefined).end('+PONG\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const upstream = { nodes: [node(port)], checks: quick('redis', { reply: '+NEVER' }) };
  await using proxy = await startProxy({ route: { protocol: undefined, upstream } });
  await expect.poll(() => statuses(proxy)).toEqual(['unhealthy']);
  await using client = await TextClient.connect(proxy.port);
  expect(await client.read(1)).toEqual(['+PONG\r']);
  expect(proxy.records.filter(({ code }) => code === 'ALL_NODES_DOWN')).toHaveLength(1);
  await proxy.put('/apisix/admin/stream_routes/1', { upstream: { ...upstream, when_all_down: 'refuse' } });
  await using refused = await TextClient.connect(proxy.port);
  await expect.poll(() => refused.ended).not.toBeNull();
  expect(refused.lines).toEqual([]);
});

test('a redis check logs in, and tells a wrong password and a wrong role', async () => {
  await using redis = await startRedis(['--requirepass', 'right']);
  await using replica = await startRedis(['--replicaof', '127.0.0.1', String(redis.port), '--masterauth', 'right', '--requirepass', 'right']);
  await using proxy = await startProxy({ route: { upstream: {
    nodes: [node(replica.port, 1), node(redis.port)], auth: { password: 'right' }, checks: quick('redis', { role: 'master' }),
  } } });
  await expect.poll(() => statuses(proxy)).toEqual(['unhealthy', 'healthy']);
  expect((await health(proxy)).nodes[0]).toMatchObject({ last_error: 'role: expected master, got replica', counter: { protocol_failure: 1 } });
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');

  await proxy.put('/apisix/admin/stream_routes/1', { protocol: { name: 'redis' }, upstream: {
    nodes: [node(redis.port)], auth: { password: 'wrong' }, checks: quick('redis'),
  } });
  await expect.poll(() => statuses(proxy)).toEqual(['unhealthy']);
  const text = JSON.stringify(await health(proxy));
  expect(text).toContain('WRONGPASS');
  expect(text).not.toContain('"wrong');
});

test('clients leave a node that stopped being the primary, though their connection to it works', async () => {
  await using first = await startRedis();
  await using second = await startRedis(['--replicaof', '127.0.0.1', String(first.port)]);
  await using proxy = await startProxy({ route: { upstream: {
    nodes: [node(first.port), node(second.port)], checks: quick('redis', { role: 'master' }),
  } } });
  await expect.poll(() => statuses(proxy)).toEqual(['healthy', 'unhealthy']);
  const client = await proxy.connect();
  expect(await client.command('SET', 'a', '1')).toBe('OK');
  const [one, two] = [await proxy.connect(first.port), await proxy.connect(second.port)];
  await two.command('REPLICAOF', 'NO', 'ONE');
  await one.command('REPLICAOF', '127.0.0.1', String(second.port));
  await expect.poll(() => statuses(proxy), { timeout: 5000 }).toEqual(['unhealthy', 'healthy']);
  expect(await client.command('SET', 'a', '2')).toBe('OK');
  expect(await two.command('GET', 'a')).toBe('2');
});

test('replies that only an unwell server gives count as failures where passive checks say so', async () => {
  await using well = await startRedis();
  await using server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const pings = bytes.toString().match(/PING/gi)?.length ?? 0;
      const gets = bytes.toString().match(/GET/gi)?.length ?? 0;
      socket.write('+PONG\r\n'.repeat(pings) + '-LOADING Redis is loading the dataset in memory\r\n'.repeat(gets));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await using proxy = await startProxy({ route: { upstream: {
    nodes: [node(port, 1), node(well.port)],
    checks: { active: { type: 'redis', healthy: { interval: 60 }, unhealthy: { interval: 60 } }, passive: { unhealthy: { protocol_failures: 3 } } },
  } } });
  const client = await proxy.connect();
  for (let n = 0; n < 3; n++) await expect(client.command('GET', 'a')).resolves.toMatchObject({ text: expect.stringContaining('LOADING') });
  expect(await client.command('GET', 'a')).toBeNull();
  expect((await health(proxy)).nodes[0]).toMatchObject({ status: 'unhealthy', counter: { protocol_failure: 3 }, last_error: expect.stringContaining('LOADING') });
});

test('an http check on a port of its own goes by the status, and sends what was configured', async () => {
  let status = 200;
  const asked: unknown[] = [];
  await using web = createHttp((request, response) => {
    asked.push([request.method, request.url, request.headers.host, request.headers['x-probe']]);
    response.writeHead(status).end('x'.repeat(100_000));
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  await using redis = await startRedis();
  const { port } = web.address() as AddressInfo;
  await using proxy = await startProxy({ route: { upstream: {
    nodes: [node(redis.port)],
    checks: quick('http', { port, http_path: '/ready?x=1', http_method: 'HEAD', host: 'redis.test', req_headers: ['X-Probe: yes: 1'] }),
  } } });
  await expect.poll(() => asked.length).toBeGreaterThan(0);
  expect(asked[0]).toEqual(['HEAD', '/ready?x=1', 'redis.test', 'yes: 1']);
  expect(await statuses(proxy)).toEqual(['healthy']);
  status = 503;
  await expect.poll(() => statuses(proxy), { timeout: 5000 }).toEqual(['unhealthy']);
  expect((await health(proxy)).nodes[0]).toMatchObject({ port: redis.port, last_error: 'status 503', counter: { http_failure: 1 } });
  // Neither a success nor a failure.
  status = 418;
  const before = asked.length;
  await expect.poll(() => asked.length, { timeout: 5000 }).toBeGreaterThan(before);
  expect(await statuses(proxy)).toEqual(['unhealthy']);
  status = 302;
  await expect.poll(() => statuses(proxy), { timeout: 5000 }).toEqual(['healthy']);
});

test('an https check trusts the authority of the upstream, and a wrong name is a failure unless it is not checked', async () => {
  using authority = makeAuthority();
  const { cert, key } = authority.issue('web.test', ['DNS:web.test']);
  await using web = createHttps({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) => response.end());
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as AddressInfo;
  const upstream = (more: object): object => ({ upstream: {
    nodes: [node(port)], scheme: 'tls', tls: { ca: authority.text }, checks: quick('https', more),
  } });
  await using proxy = await startProxy({ route: { protocol: undefined, ...upstream({ host: 'web.test' }) } });
  const checked = async (): Promise<unknown> => {
    await expect.poll(async () => (await health(proxy)).nodes[0].checked_at).not.toBeNull();
    return (await health(proxy)).nodes[0];
  };
  expect(await checked()).toMatchObject({ status: 'healthy', last_error: null });
  await proxy.put('/apisix/admin/stream_routes/1', upstream({ host: 'other.test' }));
  expect(await checked()).toMatchObject({ status: 'unhealthy', last_error: expect.stringContaining('other.test') });
  await proxy.put('/apisix/admin/stream_routes/1', upstream({ host: 'other.test', https_verify_certificate: false }));
  expect(await checked()).toMatchObject({ status: 'healthy' });
});

test('a node that accepts and says nothing fails by timeout', async () => {
  await using silent = createServer((socket) => socket.resume().on('error', () => undefined));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  await using proxy = await startProxy({ route: { upstream: { nodes: [node(port)], checks: quick('redis', { timeout: 0.2 }) } } });
  await expect.poll(() => statuses(proxy)).toEqual(['unhealthy']);
  expect((await health(proxy)).nodes[0]).toMatchObject({ last_error: 'no answer in 0.2 s', counter: { timeout_failure: 1 } });
});

test('health survives a reload, and two routes that check alike share one check', async () => {
  await using server = await startNamed('a');
  const dead = await freePort();
  const upstream = { nodes: [node(server.port), node(dead)], checks: quick('tcp', { healthy: { interval: 600, successes: 1 }, unhealthy: { interval: 600, ...once } }) };
  await using proxy = await startProxy({ route: { protocol: undefined, upstream } });
  await expect.poll(() => statuses(proxy)).toEqual(['healthy', 'unhealthy']);
  await proxy.put('/apisix/admin/stream_routes/1', { desc: 'changed', upstream: { ...upstream, nodes: [...upstream.nodes].toReversed() } });
  await proxy.put('/apisix/admin/stream_routes/2', { remote_addr: '10.0.0.1', upstream: { ...upstream, type: 'least_conn' } });
  expect(await statuses(proxy)).toEqual(['unhealthy', 'healthy']);
  expect((await health(proxy, '/stream_routes/2')).nodes.map(({ status }: { status: string }) => status)).toEqual(['healthy', 'unhealthy']);
  expect(server.accepted).toBe(1);
  expect(await proxy.metrics()).toContain(`millrace_upstream_checks_total{node="127.0.0.1:${dead}",result="tcp_failure"} 1\n`);
});

test('several workers probe a node once, and think the same of it', async () => {
  await using server = await startNamed('a');
  await using other = await startNamed('b');
  await using proxy = await startProxy({ settings: { workers: 3 }, route: { protocol: undefined, upstream: {
    nodes: [node(server.port, 1), node(other.port)], checks: quick('tcp'),
  } } });
  const begun = performance.now();
  const before = server.accepted;
  await expect.poll(() => server.accepted - before, { timeout: 15_000 }).toBeGreaterThanOrEqual(4);
  // One a second together; three workers would have had four in little more than one.
  expect(performance.now() - begun).toBeGreaterThan(2000);
  await server.stop();
  await expect.poll(() => statuses(proxy), { timeout: 5000 }).toEqual(['unhealthy', 'healthy']);
  const answers = await proxy.app.plane.inspect({ what: 'upstreams' }) as readonly { upstreams: readonly { id: string; nodes: readonly { status: string }[] }[] }[];
  expect(answers.map(({ upstreams }) => upstreams.find(({ id }) => id === '1')!.nodes[0]!.status)).toEqual(['unhealthy', 'unhealthy', 'unhealthy']);
  for (let n = 0; n < 9; n++) expect(await greeting(proxy)).toBe('b');
});

test('an unknown check type is refused when it is written, with the known ones', async () => {
  await using proxy = await startProxy({ route: null });
  const { status, body } = await proxy.call('PUT', '/apisix/admin/upstreams/1', { nodes: { '127.0.0.1:1': 1 }, checks: { active: { type: 'moon' } } });
  expect([status, body.error_msg]).toEqual([400, 'checks.active.type: expected one of http, https, redis, tcp, got "moon"']);
});
