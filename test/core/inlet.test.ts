import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adoptAccepted } from '../../core/inlet.ts';
import { sleep } from '../support/sleep.ts';

describe('an accepted socket', () => {
  let server: Server;
  const open: Socket[] = [];
  const accept: ((socket: Socket) => void)[] = [];
  beforeAll(async () => {
    server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => accept.shift()!(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });

  /** A client, and its accepted socket adopted with this sink. */
  async function dial(sink: (bytes: Buffer, length: number) => void): Promise<{ client: Socket; adopted: Socket }> {
    const accepted = new Promise<Socket>((resolve) => { accept.push((socket) => resolve(adoptAccepted(socket, sink))); });
    const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
    const adopted = await accepted;
    open.push(client, adopted);
    return { client, adopted };
  }

  test('reads nothing before it is resumed, and everything then', async () => {
    let text = '';
    const { client, adopted } = await dial((bytes, length) => { text += bytes.toString('latin1', 0, length); });
    client.write('early');
    await sleep(30);
    expect(text).toBe('');
    adopted.resume();
    await expect.poll(() => text).toBe('early');
  });

  test('stops reading while it is paused', async () => {
    let text = '';
    const { client, adopted } = await dial((bytes, length) => { text += bytes.toString('latin1', 0, length); });
    adopted.resume();
    client.write('one');
    await expect.poll(() => text).toBe('one');
    adopted.pause();
    client.write('two');
    await sleep(30);
    expect(text).toBe('one');
    adopted.resume();
    await expect.poll(() => text).toBe('onetwo');
  });

  test('shares its buffer with all others of the worker: whoever keeps bytes copies them', async () => {
    const views: Buffer[] = [];
    const [a, b] = [await dial((bytes) => views.push(bytes)), await dial((bytes) => views.push(bytes))];
    a.adopted.resume();
    b.adopted.resume();
    a.client.write('of a');
    await expect.poll(() => views).toHaveLength(1);
    b.client.write('of b');
    await expect.poll(() => views).toHaveLength(2);
    expect(views[0]!.buffer).toBe(views[1]!.buffer);
    expect(views[0]!.toString('latin1', 0, 4)).not.toBe('of a');
  });

  test('tells the end of its client, and can still be written to', async () => {
    const { client, adopted } = await dial(() => {});
    adopted.resume();
    client.end();
    await once(adopted, 'end');
    adopted.end('bye');
    const [bytes] = await once(client, 'data') as [Buffer];
    expect(bytes.toString()).toBe('bye');
  });
});
