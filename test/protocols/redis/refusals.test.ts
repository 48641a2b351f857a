// Commands that would harm others: each of the table is refused with the name of the setting that allows it, and the
// setting does allow it. The server is one that answers OK to everything.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commands, HARMFUL, REPLICATION, treatments } from '../../../protocols/redis/commands/table.ts';
import { startProxy } from '../../support/proxy.ts';
import { startRecordingUpstream, type RecordingUpstream } from '../../support/recording-upstream.ts';
import { RespError } from '../../support/resp.ts';

const named = (treatment: number): string[][] => commands
  .filter(({ name }, id) => name !== '' && treatments[id] === treatment)
  .map(({ name }) => name.split('|'));
const harmful = named(HARMFUL);
const replication = named(REPLICATION);

let server: RecordingUpstream;
beforeAll(async () => { server = await startRecordingUpstream(); });
afterAll(() => server.close());

test('the table has the commands that are known to do harm', () => {
  const names = harmful.map((words) => words.join(' '));
  for (const name of ['shutdown', 'debug', 'migrate', 'replicaof', 'slaveof', 'failover', 'client kill', 'client pause', 'client unblock',
    'script kill', 'function kill', 'module load', 'cluster reset', 'cluster failover', 'cluster setslot']) expect(names).toContain(name);
  expect(replication.map((words) => words.join(' '))).toEqual(expect.arrayContaining(['sync', 'psync', 'replconf']));
});

describe.each([['as they are', {}], ['with hooks', { plugins: { 'fault-injection': { abort: { error: 'x' }, commands: ['never'] } } }]])(
  'on a shared route %s', (_how, route) => {
    test('each is refused in any case, names its setting, and reaches no server', async () => {
      await using proxy = await startProxy({ upstream: server.port, route });
      server.clear();
      const client = await proxy.connect();
      for (const words of harmful) {
        for (const typed of [words, words.map((word) => word.toUpperCase())]) {
          const reply = await client.command(...typed, 'a', 'b', 'c');
          expect([typed, (reply as RespError).text]).toEqual([typed, expect.stringContaining('protocol.conf.allow_commands')]);
          expect((reply as RespError).text.toLowerCase()).toContain(`["${words.join(' ')}"]`);
        }
      }
      for (const words of replication) {
        expect([words, (await client.command(...words, 'a', 'b') as RespError).text]).toEqual([words, expect.stringContaining('never passed on')]);
      }
      expect(server.received.filter((line) => !/^(PING|RESET)$/.test(line))).toEqual([]);
      expect(await client.command('SET', 'a', '1')).toBe('OK');
    });
  });

test('each is passed on where the route names it, with its container, or gives every client a connection of its own', async () => {
  for (const conf of [
    { allow_commands: harmful.map((words) => words.join(' ')) }, { allow_commands: [...new Set(harmful.map(([name]) => name!))] },
    { upstream_connection: 'dedicated' },
  ]) {
    await using proxy = await startProxy({ upstream: server.port, route: { protocol: { name: 'redis', conf } } });
    server.clear();
    const client = await proxy.connect();
    for (const words of harmful) expect([words, await client.command(...words, 'a')]).toEqual([words, 'OK']);
    expect(server.received.filter((line) => !/^(PING|RESET)$/.test(line))).toEqual(harmful.map((words) => [...words, 'a'].join(' ')));
    for (const words of replication) expect(await client.command(...words, 'a')).toBeInstanceOf(RespError);
  }
});
