import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { flushOutboxes, Outbox } from '../../core/outbox.ts';

interface Pair extends AsyncDisposable {
  readonly near: Socket;
  readonly far: Socket;
  /** Pieces as they were handed to the socket. */
  readonly writes: Buffer[];
  readonly corks: { count: number };
}

async function pair(): Promise<Pair> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  const [far] = await once(server, 'connection') as [Socket];
  const writes: Buffer[] = [];
  const corks = { count: 0 };
  const [write, cork] = [near.write.bind(near), near.cork.bind(near)];
  near.write = (bytes: Buffer, ...rest: never[]) => { writes.push(bytes); return write(bytes, ...rest); };
  near.cork = () => { corks.count++; cork(); };
  return {
    near, far, writes, corks,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

async function received(socket: Socket, length: number): Promise<string> {
  let text = '';
  while (text.length < length) text += String((await once(socket, 'data'))[0]);
  return text;
}

describe('an outbox', () => {
  test('joins pieces that lie side by side into one write', async () => {
    await using sockets = await pair();
    const outbox = new Outbox(sockets.near);
    const bytes = Buffer.from('one two three');
    outbox.append(bytes, 0, 4);
    outbox.append(bytes, 4, 8);
    outbox.append(bytes, 8, 13);
    expect(sockets.writes).toHaveLength(0);
    expect([outbox.pending, outbox.total]).toEqual([13, 13]);
    flushOutboxes();
    expect(sockets.writes).toHaveLength(1);
    expect(await received(sockets.far, 13)).toBe('one two three');
  });

  test('sends pieces of different buffers in order, in one system call', async () => {
    await using sockets = await pair();
    const outbox = new Outbox(sockets.near);
    const bytes = Buffer.from('abcdef');
    outbox.append(bytes, 4, 6);
    outbox.append(Buffer.from('-'), 0, 1);
    outbox.append(bytes, 0, 2);
    flushOutboxes();
    expect(sockets.corks.count).toBe(1);
    expect(await received(sockets.far, 5)).toBe('ef-ab');
  });

  test('what waits for a slow client is not changed by the next read into the same buffer', async () => {
    await using sockets = await pair();
    sockets.far.pause();
    const outbox = new Outbox(sockets.near);
    const first = Buffer.alloc(16 * 1024 * 1024, 'a');
    outbox.append(first, 0, first.length);
    flushOutboxes();
    expect(outbox.pending).toBeGreaterThan(0);
    const shared = Buffer.from('second');
    outbox.append(shared, 0, 6);
    flushOutboxes();
    shared.fill('x');
    sockets.far.resume();
    const text = await received(sockets.far, first.length + 6);
    expect(text.slice(-8)).toBe('aasecond');
    expect(outbox.pending).toBe(0);
  });

  test('of a closed socket swallows what is appended', async () => {
    await using sockets = await pair();
    const outbox = new Outbox(sockets.near);
    sockets.near.destroy();
    outbox.append(Buffer.from('late'), 0, 4);
    flushOutboxes();
    expect(sockets.writes).toHaveLength(0);
  });
});
