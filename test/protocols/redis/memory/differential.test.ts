// The same commands to our server and to a real one: the replies must be the same bytes.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { splitInline } from '../../../../protocols/redis/memory/inline-arguments.ts';
import { MemoryRedis } from '../../../../protocols/redis/memory/server.ts';
import { startRedis, type RedisServer } from '../../../support/redis-server.ts';
import { normalisations } from './frame.ts';
import { RawClient } from './raw-client.ts';
import { connections, transactions } from './scripts/connections.ts';
import { hashes } from './scripts/hashes.ts';
import { expiry, keys } from './scripts/keys.ts';
import { lists } from './scripts/lists.ts';
import { sets } from './scripts/sets.ts';
import { sortedSets } from './scripts/sorted-sets.ts';
import { strings } from './scripts/strings.ts';
import type { Script } from './scripts/script.ts';

const scripts: Readonly<Record<string, Script>> = {
  strings, keys, expiry, hashes, lists, sets, sortedSets, connections, transactions,
};

let real: RedisServer;
let memory: MemoryRedis;
let memoryPort = 0;

beforeAll(async () => {
  real = await startRedis();
  memory = new MemoryRedis();
  memoryPort = await memory.listen();
});

afterAll(async () => {
  await memory.close();
  await real.stop();
});

async function play(port: number, script: Script, resp: '2' | '3'): Promise<string[]> {
  await using client = await RawClient.connect(port);
  await client.call('HELLO', resp);
  await client.call('FLUSHALL');
  const replies: string[] = [];
  for (const step of script) {
    const [command, how] = typeof step === 'string' ? [step, null] : step;
    const reply = await client.call(...splitInline(command) ?? []);
    replies.push(`${command} => ${how === null ? reply : normalisations[how](reply)}`);
  }
  return replies;
}

for (const [name, script] of Object.entries(scripts)) {
  describe.each(['2', '3'] as const)('RESP%s', (resp) => {
    test(`${name}: ${script.length} commands get the replies of a real server`, async () => {
      const ports = [memoryPort, real.port];
      const [ours, theirs] = await Promise.all(ports.map((port) => play(port, script, resp)));
      expect(ours).toEqual(theirs);
    });
  });
}
