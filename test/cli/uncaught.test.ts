// O7: an error that nobody caught ends the process, after its clients were answered; whoever watches it starts it again.
import { connect } from 'node:net';
import { expect, test, vi } from 'vitest';
import { freePort } from '../support/ports.ts';
import { RespClient } from '../support/resp-client.ts';
import { Place } from './millrace.ts';

vi.setConfig({ testTimeout: 30_000 });

const bad = `export default {
  name: 'bad', priority: 10, schema: { type: 'object' },
  setup: () => ({
    request(request) {
      if (request.name === 'get') setTimeout(() => { throw new Error('out of a timer'); }, 50);
    },
    close: () => new Promise(() => undefined),
  }),
};`;

test('with one worker it is logged with its stack, what is under way is answered, and the exit code says that it failed', async () => {
  using place = new Place();
  const [port, admin] = [await freePort(), await freePort()];
  place.write('plugins/bad.ts', bad);
  place.write('resources.yaml', 'stream_routes:\n  - { id: 1, protocol: { name: redis }, upstream: { type: memory }, plugins: { bad: {} } }\n');
  place.write('millrace.yaml', `listeners: [{ port: ${port}, protocol: redis }]\nadmin: { port: ${admin} }\nworkers: 1\nplugins: [plugins]\n`
    + 'resources: resources.yaml\ndrain_timeout_s: 1\n');
  await using running = place.start(['start']);
  await running.started();
  const [doomed, waiting] = [await RespClient.connect(port), await RespClient.connect(port)];
  const answer = waiting.command('BLPOP', 'queue', '0.5');
  expect(await doomed.command('GET', 'a')).toBe(null);
  expect(await answer).toBe(null);
  await expect.poll(() => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1').once('error', () => resolve('refused'));
    socket.once('connect', () => {
      socket.destroy();
      resolve('taken');
    });
  })).toBe('refused');
  const { code, err } = await running.ended;
  expect(code).not.toBe(0);
  const fatal = err.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)).find(({ level }) => level === 60);
  expect(fatal).toMatchObject({ code: 'INTERNAL', err: { message: 'out of a timer', stack: expect.stringContaining('bad.ts') } });
});
