// Rows of the reference's second protocol, over a module of the tests' own: the framework carries more than Redis.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EVENT, frameEnd, OK, readFrame, REQUEST, TWO_WAY, writeFrame, type Frame } from '../support/dubbo/frame.ts';
import dubbo from '../support/dubbo/protocol.ts';
import { freePort } from '../support/ports.ts';
import { startProxy, type Proxy } from '../support/proxy.ts';

const text = (words: string): Buffer => Buffer.from(words);

/** What the provider got; it answers calls in the opposite order of each read. */
const provided: Frame[] = [];
const provider = createServer((socket) => {
  const frames = framesOf(socket);
  socket.on('data', () => {
    const answers: Buffer[] = [];
    for (const frame of frames.splice(0)) {
      provided.push(frame);
      if ((frame.flags & TWO_WAY) === 0) continue;
      const failed = frame.body.toString() === 'fail';
      answers.unshift(writeFrame({
        flags: frame.flags & EVENT, status: failed ? 40 : OK, id: frame.id,
        body: failed ? text('503 service unavailable') : (frame.flags & EVENT) !== 0 ? text('N') : text(`re: ${frame.body.toString()}`),
      }));
    }
    if (answers.length > 0) socket.write(Buffer.concat(answers));
  });
  socket.on('error', () => undefined);
});

function framesOf(socket: Socket): Frame[] {
  const frames: Frame[] = [];
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    for (let end = frameEnd(rest, 0, rest.length); end > 0; end = frameEnd(rest, 0, rest.length)) {
      frames.push(readFrame(rest.subarray(0, end)));
      rest = rest.subarray(end);
    }
  });
  return frames;
}

let proxy: Proxy;
let port: number;
beforeAll(async () => {
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  port = await freePort();
  proxy = await startProxy({ route: null, protocols: [dubbo], settings: { listeners: [{ port }], log: { level: 'debug' } } });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  provider.close();
});

async function dial(): Promise<{ socket: Socket; frames: Frame[] }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const frames = framesOf(socket);
  await once(socket, 'connect');
  return { socket, frames };
}

function call(id: bigint, body: string, flags = REQUEST | TWO_WAY | 2): Buffer {
  return writeFrame({ flags, status: 0, id, body: text(body) });
}

test('XD-01 a route with the protocol is accepted', async () => {
  const { status } = await proxy.call('PUT', '/apisix/admin/stream_routes/1', {
    protocol: { name: 'dubbo' }, upstream: { nodes: { [`127.0.0.1:${(provider.address() as AddressInfo).port}`]: 1 } },
    plugins: { 'limit-count': { count: 100_000, time_window: 60 } },
  });
  expect(status).toBe(201);
});

test('XD-02 a two-way call is answered with its id and status 0x14, in any order and cut anywhere', async () => {
  const { socket, frames } = await dial();
  const calls = Buffer.concat([1n, 2n, 3n, 2n ** 40n].map((id) => call(id, `hello ${id}`)));
  for (const byte of calls) socket.write(Buffer.from([byte]));
  await expect.poll(() => frames.length).toBe(4);
  for (const id of [1n, 2n, 3n, 2n ** 40n]) {
    expect(frames.find((each) => each.id === id)).toEqual({ flags: 0, status: 0x14, id, body: text(`re: hello ${id}`) });
  }
  socket.destroy();
});

test('two clients that use the same ids get their own answers', async () => {
  const clients = await Promise.all(Array.from({ length: 10 }, dial));
  for (const [n, { socket }] of clients.entries()) socket.write(Buffer.concat([1n, 2n].map((id) => call(id, `client ${n}`))));
  for (const [n, { frames, socket }] of clients.entries()) {
    await expect.poll(() => frames.length).toBe(2);
    for (const { body } of frames) expect(body.toString()).toBe(`re: client ${n}`);
    socket.destroy();
  }
});

test('XD-03 a heartbeat is answered with the same id', async () => {
  const { socket, frames } = await dial();
  socket.write(call(77n, 'N', REQUEST | TWO_WAY | EVENT | 2));
  await expect.poll(() => frames).toEqual([{ flags: EVENT, status: OK, id: 77n, body: text('N') }]);
  socket.destroy();
});

test('XD-04 a one-way call reaches the provider and nothing comes back', async () => {
  const { socket, frames } = await dial();
  provided.length = 0;
  socket.write(Buffer.concat([call(5n, 'forget it', REQUEST | 2), call(6n, 'and this')]));
  await expect.poll(() => frames.map(({ id }) => id)).toEqual([6n]);
  expect(provided.map(({ body }) => body.toString())).toEqual(['forget it', 'and this']);
  expect(frames).toHaveLength(1);
  socket.destroy();
});

test('XD-05 what a provider says of a failed call is passed through', async () => {
  const { socket, frames } = await dial();
  socket.write(call(9n, 'fail'));
  await expect.poll(() => frames).toEqual([{ flags: 0, status: 40, id: 9n, body: text('503 service unavailable') }]);
  socket.destroy();
});

test('XD-06 a wrong magic number closes the connection, and the log says so', async () => {
  const { socket } = await dial();
  socket.write(Buffer.from('beef0000', 'hex'));
  await once(socket, 'close');
  await expect.poll(() => proxy.records.map(({ text: why }) => why)).toContain('unknown magic number: "0xbeef"');
});
