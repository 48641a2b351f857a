// P11, S6: replies that no Redis of today sends, but RESP3 allows, pass as they came; announced sizes cost nothing.
import { expect, test } from 'vitest';
import { startProxy } from '../../support/proxy.ts';
import { startRecordingUpstream } from '../../support/recording-upstream.ts';
import { RespClient } from '../../support/resp-client.ts';
import { encodeCommand } from '../../support/resp.ts';

const unusual: Readonly<Record<string, string>> = {
  'a streamed string': '$?\r\n;4\r\nabcd\r\n;2\r\n\r\n\r\n;0\r\n',
  'an empty streamed string': '$?\r\n;0\r\n',
  'a streamed array': '*?\r\n:1\r\n$3\r\nabc\r\n*?\r\n.\r\n.\r\n',
  'a streamed set': '~?\r\n+a\r\n+b\r\n.\r\n',
  'a streamed map': '%?\r\n+a\r\n:1\r\n+b\r\n*2\r\n:1\r\n:2\r\n.\r\n',
  'an attribute': '|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n',
  'an attribute inside an array': '*3\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n:3\r\n',
  'two attributes': '|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n_\r\n',
  'a big number': '(3492890328409238509324850943850943825024385\r\n',
  'doubles': '*4\r\n,1.5\r\n,inf\r\n,-inf\r\n,nan\r\n',
  'an error as a bulk': '!21\r\nSYNTAX invalid syntax\r\n',
  'a verbatim string': '=15\r\ntxt:Some string\r\n',
  'a long error line': `-ERR ${'x'.repeat(5000)}\r\n`,
};

const replies = (args: readonly string[]): string => {
  if (args[0] === 'ECHO') return `$${args[1]!.length}\r\n${args[1]}\r\n`;
  return unusual[args[1] ?? ''] ?? '+OK\r\n';
};

test.each(Object.keys(unusual))('%s passes as it came, between its neighbours', async (name) => {
  await using upstream = await startRecordingUpstream({ reply: replies });
  await using proxy = await startProxy({ upstream: upstream.port });
  const client = await proxy.connect();
  client.send(Buffer.concat([['ECHO', 'before'], ['GET', name], ['ECHO', 'after']].map((args) => encodeCommand(args))));
  const bytes = await client.readRaw({ until: '$5\r\nafter\r\n' });
  expect(bytes.toString('latin1')).toBe(`$6\r\nbefore\r\n${unusual[name]}$5\r\nafter\r\n`);
});

test('1,000 clients that announce 512 MiB each cost what they sent (P4)', async () => {
  await using upstream = await startRecordingUpstream({ reply: () => '+OK\r\n' });
  await using proxy = await startProxy({ upstream: upstream.port, limits: { clients_per_address: 2000 } });
  const clients = await Promise.all(Array.from({ length: 1000 }, () => RespClient.connect(proxy.port)));
  (globalThis.gc ?? (() => undefined))();
  const before = process.memoryUsage();
  for (const client of clients) client.send('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegin');
  await new Promise((resolve) => { setTimeout(resolve, 400); });
  const after = process.memoryUsage();
  expect(after.external - before.external).toBeLessThan(20 * 1024 * 1024);
  expect(after.rss - before.rss).toBeLessThan(100 * 1024 * 1024);
  const other = await proxy.connect();
  expect(await other.command('ECHO', 'x')).toBe('OK');
  await Promise.all(clients.map((client) => client.close()));
});
