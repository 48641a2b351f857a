// doctor, explain, top and import, as processes of their own.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { startRedis } from '../support/redis-server.ts';
import { RespClient } from '../support/resp-client.ts';
import { Place } from './millrace.ts';

vi.setConfig({ testTimeout: 60_000 });

test('doctor finds what is wrong with ports, files, certificates and upstreams, and says what is right', async () => {
  using place = new Place();
  await using redis = await startRedis();
  const [free, taken, dead] = [await freePort(), await freePort(), await freePort()];
  const web = createServer((_request, response) => response.end('hello'));
  web.listen(taken, '127.0.0.1');
  await once(web, 'listening');
  using authority = makeAuthority();
  const { cert, key } = authority.issue('old', ['DNS:a.example'], -1);
  place.write('resources.yaml', `upstreams: [{ id: 1, nodes: { "127.0.0.1:${redis.port}": 1, "127.0.0.1:${dead}": 1, "127.0.0.1:${taken}": 1 } }]\n`);
  place.write('millrace.yaml', [
    `listeners: [{ port: ${free}, protocol: redis }, { port: ${taken}, protocol: redis, tls: { cert: '${cert}', key: '${key}' } }]`,
    `admin: { port: ${await freePort()} }`, 'resources: resources.yaml', '',
  ].join('\n'));
  const { code, out } = await place.run('doctor');
  web.close();
  expect(code).toBe(1);
  for (const line of [
    `  ok  listener 127.0.0.1:${free} is free`, `warn  listener 127.0.0.1:${taken} is in use`, ' BAD  ', 'old.pem expired on',
    `  ok  127.0.0.1:${redis.port} speaks Redis (`, ` BAD  127.0.0.1:${dead} cannot be reached: ECONNREFUSED`,
    ` BAD  127.0.0.1:${taken} answers, but not as Redis does`, 'resources.yaml can be read', '  ok  Node ',
  ]) expect(out).toContain(line);
});

test('doctor asks each node as its route does: by TLS, a Unix socket, without a protocol; and a Millrace that runs about its store', async () => {
  using place = new Place();
  using authority = makeAuthority();
  const good = authority.issue('node', ['DNS:localhost', 'IP:127.0.0.1']);
  const [port, tls, udp, dead, admin] = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
  const path = join(place.path, 'r.sock');
  await using redis = await startRedis([
    '--port', '0', '--tls-port', String(tls), '--tls-cert-file', good.cert, '--tls-key-file', good.key,
    '--tls-ca-cert-file', authority.file, '--tls-auth-clients', 'no', '--unixsocket', path,
  ], tls);
  expect(redis.port).toBe(tls);
  const web = createServer((_request, response) => response.end('hello'));
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  const { port: webPort } = web.address() as AddressInfo;
  const secure = (more: object): object => ({ nodes: { [`localhost:${tls}`]: 1 }, scheme: 'tls', tls: more });
  place.write('resources.yaml', JSON.stringify({ stream_routes: [
    { id: 1, server_port: port, upstream: secure({ ca: authority.text }), protocol: { name: 'redis' } },
    { id: 2, server_port: 2, upstream: { nodes: { [`unix:${path}`]: 1 } }, protocol: { name: 'redis' } },
    { id: 3, server_port: 3, upstream: { nodes: { [`127.0.0.1:${webPort}`]: 1 } } },
    { id: 4, server_port: udp, upstream: { nodes: { [`127.0.0.1:${dead}`]: 1 } } },
  ] }));
  place.write('millrace.yaml', [
    `listeners: [{ port: ${port} }, { port: ${udp}, transport: udp }]`, `admin: { port: ${admin}, key: 0123456789abcdef }`,
    'workers: 1', 'stream_ports: { open: false }', 'resources: resources.yaml', '',
  ].join('\n'));
  const before = await place.run('doctor');
  expect([before.code, before.out]).toEqual([0, expect.stringMatching(new RegExp([
    `UDP listener 127.0.0.1:${udp} is free`, `localhost:${tls} speaks Redis over TLS`, `unix:${path} speaks Redis`, `127.0.0.1:${webPort} can be reached`,
  ].join('[^]*')))]);
  expect(before.out).not.toContain(String(dead));
  await using running = place.start(['start']);
  await running.started();
  await fetch(`http://127.0.0.1:${admin}/apisix/admin/stream_routes/9`, {
    method: 'PUT', headers: { 'X-API-KEY': '0123456789abcdef' },
    body: JSON.stringify({ server_port: port, remote_addr: '10.0.0.1', upstream: { nodes: { '127.0.0.1:1': 1 } }, protocol: { name: 'redis' } }),
  });
  const during = await place.run('doctor');
  expect(during.out).toContain(`warn  UDP listener 127.0.0.1:${udp} is in use`);
  expect(during.out).toMatch(/127\.0\.0\.1:1 \(\/apisix\/stream_routes\/9\) is used by the Millrace that runs/);
  web.close();
});

test('explain and top ask a running Millrace, with the key of its settings', async () => {
  using place = new Place();
  const [port, admin] = [await freePort(), await freePort()];
  place.write('resources.yaml', `stream_routes:\n  - { id: here, server_port: ${port}, upstream: { type: memory }, protocol: { name: redis }, plugins: { limit-count: { count: 100000, time_window: 60 } } }\n  - { id: there, server_port: 1, upstream: { type: memory }, protocol: { name: redis } }\n`);
  place.write('millrace.yaml', `listeners: [{ port: ${port}, protocol: redis }]\nadmin: { port: ${admin} }\nworkers: 1\nresources: resources.yaml\nstream_ports: { open: false }\n`);
  await using running = place.start(['start']);
  await running.started();
  const explained = await place.run('explain', '--server', `127.0.0.1:${port}`);
  expect([explained.code, explained.out]).toEqual([0, expect.stringMatching(new RegExp([
    `127.0.0.1 -> 127.0.0.1:${port}`, 'route here, protocol redis', '  plugin limit-count \\(1002\\): request', '  node 127.0.0.1:\\d+, weight 1',
    `not there: server_port: it asks for 1, the connection has ${port}`, ''].join('\n')))]);
  await using client = await RespClient.connect(port);
  const shown = place.start(['top', '--once', '-i', '0.5']);
  let asking = true;
  const load = (async () => { while (asking) await client.command('GET', 'a'); })();
  const { code, out } = await shown.ended;
  asking = false;
  await load;
  expect(code).toBe(0);
  expect(out).toMatch(/^http:\/\/127\.0\.0\.1:\d+ {2}1 clients/);
  expect(Number(/^here +1 +(\d+) /m.exec(out)?.[1])).toBeGreaterThan(50);
  expect(out).toMatch(/^127\.0\.0\.1:\d+ +\d+ +[\d.]+ +get +here$/m);
  const nobody = await place.run('explain', '--admin', `http://127.0.0.1:${await freePort()}`);
  expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('does not answer (ECONNREFUSED). Is Millrace running there?')]);
});

test('an apisix.yaml becomes a resources file, and what does not map is said', async () => {
  using place = new Place();
  place.write('apisix.yaml', `routes:
  - { uri: /hello, upstream: { nodes: { "127.0.0.1:80": 1 } } }
upstreams:
  - { id: cache, nodes: { "127.0.0.1:6379": 1 }, type: roundrobin, create_time: 1700000000 }
stream_routes:
  - { id: 1, server_port: 9100, upstream_id: cache, protocol: { name: redis, conf: { faults: [{ commands: [get], delay: 0.1 }] } } }
  - { id: 2, server_port: 9101, upstream_id: cache, plugins: { mqtt-proxy: { protocol_level: 4 } } }
#END
`);
  const { code, out, err } = await place.run('import', 'apisix', 'apisix.yaml');
  expect(code).toBe(1);
  expect(err).toMatch(/left out: apisix\.yaml:7:\d+: stream_routes\[1\]\.plugins\.mqtt-proxy: unknown plugin \[mqtt-proxy\]/);
  expect(err).toMatch(/not supported and ignored: routes/);
  expect(err).toContain('imported: 1 stream_routes, 1 upstreams');
  place.write('resources.yaml', out);
  expect(await place.run('check', '-c', 'resources.yaml')).toMatchObject({ code: 0, out: 'ok\n' });
});

test('a running gateway is imported by way of its Admin API', async () => {
  using place = new Place();
  const lists: Readonly<Record<string, unknown[]>> = {
    upstreams: [{ key: '/apisix/upstreams/1', value: { id: '1', nodes: { '127.0.0.1:6379': 1 }, create_time: 1, update_time: 2 } }],
    stream_routes: [{ key: '/apisix/stream_routes/1', value: { id: '1', upstream_id: '1', protocol: { name: 'redis' } } }],
    routes: [{ value: { id: '1' } }, { value: { id: '2' } }],
  };
  const server = createServer((request, response) => {
    const kind = request.url!.split('/').at(-1)!;
    const allowed = request.headers['x-api-key'] === 'k';
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(allowed ? { total: 0, list: lists[kind] ?? [] } : { error_msg: 'failed to check token' }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await place.run('import', 'apisix', url)).toMatchObject({ code: 1, err: expect.stringContaining('status 401') });
  const { code, err } = await place.run('import', 'apisix', url, '-k', 'k', '-o', 'resources.json');
  server.close();
  expect([code, err]).toEqual([0, expect.stringContaining('left out: 2 HTTP routes, which Millrace has no counterpart for')]);
  expect(JSON.parse(readFileSync(join(place.path, 'resources.json'), 'utf8'))).toEqual({
    stream_routes: [{ id: '1', upstream_id: '1', protocol: { name: 'redis' } }], upstreams: [{ id: '1', nodes: { '127.0.0.1:6379': 1 } }],
  });
  expect(statSync(join(place.path, 'resources.json')).mode & 0o777).toBe(0o600);
});
