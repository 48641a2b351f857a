import { expect, test } from 'vitest';
import { startRecordingUpstream } from './recording-upstream.ts';
import { startRedis } from './redis-server.ts';
import { RespClient } from './resp-client.ts';
import { RespError } from './resp.ts';

test('commands are recorded in order with their connection and bytes', async () => {
  await using upstream =
    await startRecordingUpstream({ reply: ([name]) => (name === 'GET' ? '$-1\r\n' : '+OK\r\n') });
  await using first = await RespClient.connect(upstream.port);
  await using second = await RespClient.connect(upstream.port);
  expect(await first.command('SET', 'a', '1')).toBe('OK');
  expect(await second.command('GET', 'a')).toBe(null);
  expect(upstream.received).toEqual(['SET a 1', 'GET a']);
  expect(upstream.commands.map(({ connection }) => connection)).toEqual([0, 1]);
  expect(upstream.commands[1]?.raw.toString()).toBe('*2\r\n$3\r\nGET\r\n$1\r\na\r\n');
  expect(upstream.open).toBe(2);
});

test('a real server behind it answers', async () => {
  await using redis = await startRedis();
  await using upstream = await startRecordingUpstream({ forwardTo: redis.port });
  await using client = await RespClient.connect(upstream.port);
  expect(await client.pipeline([['INCR', 'a'], ['INCR', 'a'], ['NOPE']])).toEqual([1, 2,
    expect.any(RespError)]);
  expect(upstream.received).toEqual(['INCR a', 'INCR a', 'NOPE']);
});

test('bytes that are no commands are reported and the connection ends', async () => {
  await using upstream = await startRecordingUpstream();
  await using client = await RespClient.connect(upstream.port);
  client.send('*2\r\n$4\r\nPINGxx$1\r\na\r\n');
  await client.untilEnded();
  expect(upstream.broken).toEqual([expect.stringContaining('no CRLF at "xx$1')]);
});
