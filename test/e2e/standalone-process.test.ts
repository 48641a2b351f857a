// API-driven standalone as processes with several workers: what an answer promises, what a restart forgets.
import { expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { startMillrace, type MillraceProcess } from '../support/millrace-process.ts';
import { RespError } from '../support/resp.ts';

const key = 'test-admin-key-0123456789abcdef';
const start = async (folder?: string): Promise<MillraceProcess> => {
  const port = await freePort();
  const millrace = await startMillrace({
    ...(folder === undefined ? {} : { folder }), settings: { workers: 2, admin: { port, key, standalone: true } },
  });
  return { ...millrace, adminPort: port };
};
const ask = (millrace: MillraceProcess, method: string, headers: Record<string, string> = {}, body?: string, path = '/apisix/admin/configs'): Promise<Response> =>
  fetch(`http://127.0.0.1:${millrace.adminPort}${path}`, {
    method, headers: { 'X-API-KEY': key, ...headers }, ...(body === undefined ? {} : { body }),
  });
const whole = (answer: string, more: object = {}): string => JSON.stringify({
  stream_routes: [{ id: 'r', upstream: { type: 'memory' }, protocol: { name: 'redis', conf: { faults: [{ commands: ['ping'], error: answer }] } } }],
  ...more,
});

test('when a whole is answered with 202 every worker serves it, on open connections too', async () => {
  await using millrace = await start();
  const open = await Promise.all(Array.from({ length: 12 }, () => millrace.connect()));
  for (let round = 1; round <= 10; round++) {
    const { status } = await ask(millrace, 'PUT', { 'X-Digest': String(round) }, whole(`round ${round}`));
    expect(status).toBe(202);
    const fresh = await Promise.all(Array.from({ length: 12 }, () => millrace.connect()));
    // The first round finds clients of the default route, who stay on it.
    const clients = round === 1 ? fresh : [...fresh, ...open];
    if (round === 1) open.splice(0, open.length, ...fresh);
    const answers = await Promise.all(clients.map((client) => client.command('PING')));
    expect(answers).toEqual(clients.map(() => new RespError(`ERR round ${round}`)));
  }
});

test('a restart forgets the whole, its digest and its versions; the same digest is then taken again', async () => {
  const first = await start();
  const { folder } = first;
  expect((await ask(first, 'PUT', { 'X-Digest': 'a' }, whole('here', { upstreams_conf_version: 7 }))).status).toBe(202);
  expect((await ask(first, 'PUT', { 'X-Digest': 'a' }, whole('here'))).status).toBe(204);
  first.signal('SIGTERM');
  await first.exited;
  {
    await using second = await start(folder);
    const shown = await ask(second, 'GET');
    const body = await shown.json() as Record<string, unknown>;
    expect([shown.headers.get('x-digest'), shown.headers.get('x-last-modified'), body['upstreams_conf_version'], body['stream_routes']])
      .toEqual([null, null, 0, []]);
    expect((await ask(second, 'GET', {}, undefined, '/status/ready')).status).toBe(503);
    expect(await (await second.connect()).command('PING')).toBe('PONG');
    expect((await ask(second, 'PUT', { 'X-Digest': 'a' }, whole('again'))).status).toBe(202);
    expect(await (await second.connect()).command('PING')).toEqual(new RespError('ERR again'));
    expect((await ask(second, 'GET', {}, undefined, '/status/ready')).status).toBe(200);
  }
  await first[Symbol.asyncDispose]();
});
