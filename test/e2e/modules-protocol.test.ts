// A protocol of one's own, from a folder: new code for new connections, open ones go on.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connectLines, type LineClient } from '../support/line-client.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { startMillrace } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';

const page = readFileSync('docs/writing-a-protocol.md', 'utf8');
const code = /^```ts\n(import [^]*?|\/\/[^]*?)^```/m.exec(page)![1]!;
const saying = (pong: string): string => code.replace("'pong\\n'", `'${pong}\\n'`);

test.each([1, 2])('with %i workers a saved protocol is live for new connections; load on open ones is not disturbed', async (workers) => {
  await using upstream = await startLineUpstream();
  const port = await freePort();
  await using millrace = await startMillrace({
    upstream: upstream.port, files: { 'protocols/line.ts': saying('one') },
    settings: { workers, protocols: ['protocols'], listeners: [{ port, protocol: 'line' }] },
  });
  await millrace.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${upstream.port}`]: 1 } }, protocol: { name: 'line' },
  });
  const ask = async (client: LineClient, text: string): Promise<string | null> => {
    client.send(`${text}\n`);
    return client.line();
  };
  const pong = async (): Promise<string | null> => {
    await using client = await connectLines(port);
    return await ask(client, 'ping');
  };
  expect(await pong()).toBe('one');

  const clients = await Promise.all(Array.from({ length: 5 }, () => connectLines(port)));
  let running = true;
  const load = clients.map(async (client, i) => {
    for (let n = 0; running; n++) expect(await ask(client, `get c${i}n${n}`)).toBe(`get c${i}n${n}!`);
  });
  for (const version of ['two', 'three']) {
    millrace.write('protocols/line.ts', saying(version));
    await expect.poll(pong, { timeout: 10_000, interval: 20 }).toBe(version);
  }
  millrace.write('protocols/line.ts', 'export default { name: "line" };');
  await expect.poll(() => millrace.metric('millrace_module_failures_total'), { timeout: 10_000 }).toBe(1);
  expect(await pong()).toBe('three');
  running = false;
  await Promise.all(load);
  for (const client of clients) await client[Symbol.asyncDispose]();
  const { body } = await millrace.call('GET', '/apisix/admin/plugins/status');
  expect(body.modules).toContainEqual(expect.objectContaining({ kind: 'protocol', name: 'line', error: expect.stringContaining('schema') }));
});
