// Stream routes that open ports of their own.
import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { connectLines, greetingAt } from '../support/line-client.ts';
import { startNamed } from '../support/named-server.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

const listeners = async (proxy: Proxy): Promise<readonly { port: number; origin: string; error: string | null }[]> =>
  (await proxy.app.plane.status()).flatMap((each) => each.listeners);

const refused = (port: number): Promise<string> => connectLines(port).then(async (client) => {
  await client[Symbol.asyncDispose]();
  return 'accepted';
}, (error: NodeJS.ErrnoException) => error.code ?? 'failed');

describe.each([1, 2])('with %i workers', (workers) => {
  test('PUT with server_port opens the port before it is answered; DELETE drains it', async () => {
    await using server = await startNamed('hot');
    await using proxy = await startProxy({ route: null, settings: { workers } });
    const port = await freePort();
    expect(await refused(port)).toBe('ECONNREFUSED');
    await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { nodes: { [server.address]: 1 } } });
    for (let i = 0; i < 20; i++) expect(await greetingAt(port)).toBe('hot');
    expect((await listeners(proxy)).filter((each) => each.port === port)).toEqual(
      Array.from({ length: workers }, () => expect.objectContaining({ origin: 'route', error: null })));

    await using open = await connectLines(port);
    expect(await open.line()).toBe('hot');
    await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
    await expect.poll(() => refused(port)).toBe('ECONNREFUSED');
    open.send('not cut\n');
    expect(await open.line()).toBe('not cut');
  });

  test('two routes share a port; it closes with the last of them', async () => {
    await using server = await startNamed('hot');
    await using proxy = await startProxy({ route: null, settings: { workers } });
    const port = await freePort();
    const upstream = { nodes: { [server.address]: 1 } };
    await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream });
    await proxy.put('/apisix/admin/stream_routes/2', { server_port: port, remote_addr: '127.0.0.2', upstream });
    await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
    expect(await greetingAt(port, { from: '127.0.0.2' })).toBe('hot');
    expect(await greetingAt(port, { from: '127.0.0.3' })).toBe(null);
    await proxy.put('/apisix/admin/stream_routes/2', { server_port: port, status: 0, upstream });
    await expect.poll(() => refused(port)).toBe('ECONNREFUSED');
  });
});

test('a port outside of the range is not opened, and status and log say why', async () => {
  const port = await freePort();
  await using proxy = await startProxy({ route: null, settings: { stream_ports: { range: '1024-1030' } } });
  await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { type: 'none', nodes: { '127.0.0.1:1': 1 } } });
  expect(await refused(port)).toBe('ECONNREFUSED');
  const text = `port ${port} may not be opened: stream_ports.range is 1024-1030`;
  expect((await listeners(proxy)).find((each) => each.port === port)?.error).toBe(text);
  expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'LISTEN_FAILED', msg: text }));
  const shown = await proxy.call('GET', '/apisix/admin/plugins/status');
  expect(JSON.stringify(shown.body)).toContain(text);
  await proxy.call('DELETE', '/apisix/admin/stream_routes/1');
  expect((await listeners(proxy)).find((each) => each.port === port)).toBe(undefined);
});

test('with stream_ports.open false no port is opened, and the reason says so', async () => {
  const port = await freePort();
  await using proxy = await startProxy({ route: null, settings: { stream_ports: { open: false } } });
  await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { type: 'none', nodes: { '127.0.0.1:1': 1 } } });
  expect((await listeners(proxy)).find((each) => each.port === port)?.error).toBe(
    `port ${port} may not be opened: stream_ports.open is false`);
});

test('a port that somebody else has is reported, and opened once it is free', async () => {
  await using server = await startNamed('hot');
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  await using proxy = await startProxy({ route: null });
  await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { nodes: { [server.address]: 1 } } });
  expect((await listeners(proxy)).find((each) => each.port === port)?.error).toContain('EADDRINUSE');
  expect(proxy.records).toContainEqual(expect.objectContaining({ code: 'LISTEN_FAILED' }));
  await new Promise((resolve) => other.close(resolve));
  await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, desc: 'again', upstream: { nodes: { [server.address]: 1 } } });
  expect(await greetingAt(port)).toBe('hot');
  expect((await listeners(proxy)).find((each) => each.port === port)?.error).toBe(null);
});

test('a Redis route on a port of its own works beside the default one', async () => {
  await using proxy = await startProxy({ route: null });
  const port = await freePort();
  await proxy.put('/apisix/admin/stream_routes/1', { server_port: port, upstream: { type: 'memory' }, protocol: { name: 'redis' } });
  const client = await proxy.connect(port);
  expect(await client.command('SET', 'a', '1')).toBe('OK');
});
