import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';
import { GoodClient } from './good-client.ts';

/** What a good client makes of a server that answers like this. */
async function run(answer: (text: string, socket: Socket) => Promise<void>): Promise<{ asked: number; failed: number; strange: string[] }> {
  const server = createServer((socket) => {
    socket.setNoDelay().on('data', (bytes: Buffer) => void answer(/good:\d+:\d+/.exec(bytes.toString())![0], socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = await GoodClient.connect((server.address() as AddressInfo).port, 7);
  const { times, failed } = await client.run(0.5);
  client.close();
  server.close();
  return { asked: times.length, failed, strange: [...client.strange] };
}
const bulk = (text: string): Buffer => encodeCommand([text]).subarray(4);

test('an answer that comes in pieces is one answer', async () => {
  const { asked, failed, strange } = await run(async (text, socket) => {
    for (const piece of [bulk(text).subarray(0, 3), bulk(text).subarray(3, 9), bulk(text).subarray(9)]) {
      socket.write(piece);
      await sleep(2);
    }
  });
  expect(asked).toBeGreaterThan(3);
  expect([failed, strange]).toEqual([0, []]);
});

test('another answer is a failure, and is told', async () => {
  const { failed, strange } = await run(async (text, socket) => { socket.write(bulk(text.endsWith(':1') ? 'good:8:1' : text)); });
  expect([failed, strange]).toEqual([1, ['"good:8:1"']]);
});

test('one answer too many makes all that follow failures', async () => {
  const { asked, failed } = await run(async (text, socket) => {
    socket.write(bulk(text));
    if (text.endsWith(':1')) socket.write(bulk(text));
  });
  expect(asked).toBeGreaterThan(3);
  expect(failed).toBe(asked - 2);
});

test('a connection that ends is one failure', async () => {
  const { asked, failed, strange } = await run(async (text, socket) => { if (text.endsWith(':2')) socket.destroy(); else socket.write(bulk(text)); });
  expect([asked, failed]).toEqual([3, 1]);
  expect(strange[0]).toContain('the connection ended');
});
