import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import type { Outbox } from '../../../core/outbox.ts';
import { Pause } from '../../../core/upstream/pause.ts';

/** A socket that was sent something, and what it has read. */
async function pair(): Promise<{ reader: Socket; writer: Socket; read: () => string; close: () => void }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [writer] = (await once(server, 'connection')) as [Socket];
  let text = '';
  reader.setEncoding('latin1').on('data', (chunk: string) => { text += chunk; });
  return {
    reader, writer, read: () => text,
    close: () => {
      reader.destroy();
      writer.destroy();
      server.close();
    },
  };
}

class Unsent {
  flushed = (): void => {};
  whenFlushed(then: () => void): void { this.flushed = then; }
}

test('a link reads nothing until the client that it waits for has taken everything, whoever else has', async () => {
  const { reader, writer, read, close } = await pair();
  const [given, slow] = [new Unsent(), new Unsent()];
  const pause = new Pause(reader);
  pause.begin(given as unknown as Outbox, 1);
  // Given up; the next one does not take anything either.
  pause.end();
  pause.begin(slow as unknown as Outbox, 2);
  expect([pause.active, pause.since]).toEqual([true, 2]);
  given.flushed();
  expect([pause.active, reader.isPaused()]).toEqual([true, true]);
  writer.write('reply');
  slow.flushed();
  expect(pause.active).toBe(false);
  await expect.poll(read).toBe('reply');
  close();
});
