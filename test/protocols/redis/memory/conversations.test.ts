// Conversations of several clients with our server and with a real one: everybody must receive the same
// bytes.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryRedis } from '../../../../protocols/redis/memory/server.ts';
import { startRedis, type RedisServer } from '../../../support/redis-server.ts';
import { conversations, type Conversation } from './conversations.ts';
import { normalisations } from './frame.ts';
import { RawClient } from './raw-client.ts';

/** Milliseconds for the last replies and closings to arrive. */
const REST = 100;

let real: RedisServer;

beforeAll(async () => {
  real = await startRedis();
});

afterAll(async () => {
  await real.stop();
});

/** Plays the turns; returns all that each client received, and whether it was closed. */
async function hold(port: number, { turns }: Conversation): Promise<Record<string, string>> {
  await using marker = await RawClient.connect(port);
  await marker.call('FLUSHALL');
  const clients = new Map<string, RawClient>();
  for (const [who] of turns) {
    if (who !== 'wait' && !clients.has(who)) clients.set(who, await RawClient.connect(port));
  }
  for (const [who, bytes] of turns) {
    if (who === 'wait') await sleep(Number(bytes));
    else if (bytes === 'close') await clients.get(who)?.[Symbol.asyncDispose]();
    else clients.get(who)?.send(bytes);
    // Two round trips behind the turn: the server has seen it before the next one starts.
    await sleep(5);
    await marker.call('PING');
    await marker.call('PING');
  }
  await sleep(REST);
  const heard: Record<string, string> = {};
  for (const [name, client] of clients) {
    heard[name] = normalisations.id(await client.within(0)) + (client.closed ? '(closed)' : '');
    await client[Symbol.asyncDispose]();
  }
  return heard;
}

test.each(conversations)('$about', async (conversation) => {
  const memory = new MemoryRedis();
  const port = await memory.listen();
  try {
    const [ours, theirs] = await Promise.all([hold(port, conversation), hold(real.port, conversation)]);
    expect(ours).toEqual(theirs);
  } finally {
    await memory.close();
  }
});
