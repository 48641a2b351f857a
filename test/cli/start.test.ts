import { execFile } from 'node:child_process';
import { readFileSync, renameSync, existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { freePort } from '../support/ports.ts';
import { Place, type Running } from './millrace.ts';

const shell = promisify(execFile);

async function settings(place: Place, more = ''): Promise<{ port: number; admin: number }> {
  const [port, admin] = [await freePort(), await freePort()];
  place.write('millrace.yaml',
    `listeners: [{ port: ${port}, protocol: redis }]\nadmin: { port: ${admin} }\nworkers: 1\n${more}`);
  return { port, admin };
}

/** Sends a command and waits for the first bytes of its reply. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.on('data', (bytes) => { resolve(bytes.toString()); socket.destroy(); });
    socket.on('error', reject);
  });
}

/** Sends a command that blocks behind a PING, in one write: when that is answered the command is under way. */
function begin(port: number, command: string): Promise<{ readonly answer: Promise<string> }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`PING\r\n${command}\r\n`));
    socket.on('error', reject);
    socket.once('data', (pong) => {
      if (pong.toString() !== '+PONG\r\n') return reject(new Error(`expected PONG, got ${pong.toString()}`));
      const answer = new Promise<string>((answered) => {
        socket.once('data', (bytes) => { answered(bytes.toString()); socket.destroy(); });
      });
      resolve({ answer });
    });
  });
}

// Processes start slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

test('start prints in under ten lines what listens where, and commands that work as they stand', async () => {
  using place = new Place();
  const { port, admin } = await settings(place);
  await using running = place.start(['start']);
  const text = await running.started();
  const lines = text.trimEnd().split('\n');
  expect(lines.length).toBeLessThan(10);
  for (const part of [`127.0.0.1:${port}`, `127.0.0.1:${admin}`, join(place.path, 'data', 'admin.key')]) {
    expect(text).toContain(part);
  }
  expect(await ask(port, 'SET a 1')).toBe('+OK\r\n');
  const curl = lines.find((line) => line.trim().startsWith('curl'))!;
  const { stdout } = await shell('bash', ['-c', curl], { cwd: place.path });
  expect(JSON.parse(stdout)).toMatchObject({ key: '/apisix/stream_routes/1', value: { server_port: port } });
  const before = performance.now();
  expect(await ask(port, 'GET a')).toBe('$1\r\n1\r\n');
  expect(performance.now() - before).toBeGreaterThan(950);
});

test('the admin key is never printed or logged', async () => {
  using place = new Place();
  await settings(place, 'log: { level: trace, file: log/millrace.log }\n');
  await using running = place.start(['start']);
  await running.started();
  const key = readFileSync(join(place.path, 'data/admin.key'), 'utf8').trim();
  running.signal('SIGTERM');
  const { out, err, code } = await running.ended;
  expect([code, key.length]).toEqual([0, 64]);
  expect(out + err + readFileSync(join(place.path, 'log/millrace.log'), 'utf8')).not.toContain(key);
});

test('what was written is there after a restart', async () => {
  using place = new Place();
  const { admin } = await settings(place);
  const api = `http://127.0.0.1:${admin}/apisix/admin/upstreams/u`;
  const headers = { 'x-api-key': 'k'.repeat(32) };
  const start = (): Running => place.start(['start'], { MILLRACE_ADMIN_KEY: 'k'.repeat(32) });
  {
    await using running = start();
    await running.started();
    const put = await fetch(api, { method: 'PUT', headers, body: '{"nodes":{"127.0.0.1:6379":1}}' });
    expect(put.status).toBe(201);
    // No SIGTERM: what was acknowledged must survive anything.
    running.signal('SIGKILL');
    await running.ended;
  }
  await using running = start();
  await running.started();
  const shown = await (await fetch(api, { headers })).json();
  expect(shown).toMatchObject({ value: { nodes: { '127.0.0.1:6379': 1 } } });
});

test('SIGTERM lets a request that is under way finish, and refuses new clients', async () => {
  using place = new Place();
  const { port } = await settings(place);
  await using running = place.start(['start']);
  await running.started();
  const { answer } = await begin(port, 'BLPOP queue 1');
  running.signal('SIGTERM');
  expect(await answer).toBe('*-1\r\n');
  expect((await running.ended).code).toBe(0);
  await expect(ask(port, 'PING')).rejects.toThrow(/ECONNREFUSED/);
});

test('a second signal ends at once', async () => {
  using place = new Place();
  const { port } = await settings(place);
  await using running = place.start(['start']);
  await running.started();
  await begin(port, 'BLPOP queue 20');
  running.signal('SIGTERM');
  await running.saw(() => running.err.includes('DRAINED'));
  running.signal('SIGTERM');
  expect((await running.ended).code).toBe(6);
});

test('SIGHUP opens the log file again, so that it can be moved away', async () => {
  using place = new Place();
  const { port } = await settings(place, 'log: { level: debug, file: millrace.log }\n');
  await using running = place.start(['start']);
  await running.started();
  const [file, moved] = [join(place.path, 'millrace.log'), join(place.path, 'moved.log')];
  await ask(port, 'PING');
  await running.saw(() => existsSync(file));
  renameSync(file, moved);
  running.signal('SIGHUP');
  await running.saw(() => existsSync(file));
  expect(await ask(port, 'PING')).toBe('+PONG\r\n');
});

test('wrong settings are listed with file, line and what was expected; nothing is started', async () => {
  using place = new Place();
  place.write('millrace.yaml', 'admin:\n  port: 0\nworkers: many\n');
  const { code, out, err } = await place.run('start');
  expect([code, out]).toEqual([1, '']);
  expect(err.trim().split('\n')).toEqual([
    'millrace.yaml:2:9: admin.port: expected 1..65535, got 0',
    'millrace.yaml:3:10: workers: expected 1..256 or "auto", got "many"',
  ]);
});

test('ports that only stream routes lead to are told apart from those with a default route', async () => {
  using place = new Place();
  const [plain, routed] = [await freePort(), await freePort()];
  const port = await freePort();
  place.write('millrace.yaml', `listeners: [{ port: ${port}, protocol: redis }, { port: ${plain} }]\nadmin: { port: ${await freePort()} }
workers: 1\nresources: resources.yaml\n`);
  place.write('resources.yaml', `stream_routes: [{ id: 1, server_port: ${routed}, upstream: { nodes: { "127.0.0.1:1": 1 } } }]\n`);
  await using running = place.start(['start']);
  const lines = (await running.started()).split('\n');
  expect(lines[1]).toBe(`  clients    127.0.0.1:${port} -> the embedded in-memory Redis (for demo and development)`);
  expect(lines[2]).toMatch(/^ {2}clients {4}127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+ by stream routes$/);
  for (const each of [plain, routed]) expect(lines[2]).toContain(`:${each}`);
});

test('a second Millrace on the same port is refused, although workers share theirs', async () => {
  using place = new Place();
  const { port } = await settings(place);
  await using running = place.start(['start'], { MILLRACE_WORKERS: '2' });
  await running.started();
  using other = new Place();
  await settings(other);
  const second = await other.start(['start'], { MILLRACE_WORKERS: '2', MILLRACE_LISTEN: String(port) }).ended;
  expect([second.code, second.err]).toEqual(
    [3, `millrace: 127.0.0.1:${port}: could not listen: EADDRINUSE (address already in use)\n`]);
});

test('a default route without a server says where its nodes are expected', async () => {
  using place = new Place();
  await place.run('new', 'protocol', 'line');
  place.write('millrace.yaml', `listeners: [{ port: ${await freePort()}, protocol: line }]\nadmin: { port: ${await freePort()} }
workers: 1\nprotocols: [protocols]\n`);
  await using running = place.start(['start']);
  await running.started();
  await running.saw(() => running.err.includes('\n'));
  expect(running.err).toContain('upstream.type: expected nodes, because protocol line has no embedded server; '
    + "those of a listener's default route stand in MILLRACE_UPSTREAM");
});

test('a listener whose protocol nobody has is exit code 1', async () => {
  using place = new Place();
  place.write('millrace.yaml', `listeners: [{ port: ${await freePort()}, protocol: rediss }]\nadmin: { port: ${await freePort()} }\n`);
  expect(await place.run('start')).toEqual({
    code: 1, out: '', err: 'millrace: listeners[0].protocol: unknown protocol [rediss], did you mean "redis"?\n',
  });
});

test('a port that is taken is exit code 3, an unusable store 4, a bad key 1', async () => {
  using place = new Place();
  const { admin } = await settings(place);
  const server = createServer();
  await new Promise<void>((done) => server.listen(admin, '127.0.0.1', done));
  const taken = await place.run('start');
  const busy = `millrace: admin 127.0.0.1:${admin}: could not listen: EADDRINUSE\n`;
  expect([taken.code, taken.err]).toEqual([3, busy]);
  server.close();
  place.write('data/millrace.db', 'this is no database, it is a text of more than a hundred bytes '.repeat(20));
  const store = await place.run('start');
  expect(store.code).toBe(4);
  expect(store.err).toContain('data/millrace.db: the configuration store failed');
  place.write('data/admin.key', '\n');
  expect((await place.run('start')).code).toBe(1);
});
