import { describe, expect, test } from 'vitest';
import syslog from '../../plugins/syslog.ts';
import { LineRequest } from '../support/line-request.ts';
import { tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';

const frame = /^<46>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ millrace \d+ - - (\{.*\})$/;
const body = (message: string): unknown => JSON.parse(frame.exec(message)![1]!);
const metadata = { log_format: { rpc_time: '$rpc_time', redis_cmd_line: '$redis_cmd_line' } };
const request = (line: string): LineRequest =>
  new LineRequest(line, undefined, { redis_cmd_line: line }).finish('+ok', 12);

describe('syslog', () => {
  test('XF-35, XR-18 to XR-20: datagrams with the format of the metadata', async () => {
    await using sink = await udpLogSink();
    const conf = { host: '127.0.0.1', port: sink.port, sock_type: 'udp', batch_max_size: 1, flush_limit: 1 };
    const hooks = setUp(syslog, conf, testContext({ metadata }));
    const lines = ['hmset animals dog bark cat meow', 'hmget animals dog cat', 'ping'];
    for (const line of lines) hooks.log!(request(line));
    expect((await sink.wait(3)).map(body))
      .toEqual(lines.map((line) => ({ rpc_time: 0.012, redis_cmd_line: line, route_id: '1' })));
    await hooks.close!();
  });

  test('XF-39: over TCP, one message a line, at once', async () => {
    await using sink = await tcpLogSink();
    const hooks = setUp(syslog, { host: '127.0.0.1', port: sink.port, flush_limit: 1, batch_max_size: 1 });
    hooks.log!(request('get a'));
    const [message] = await sink.wait(1);
    expect(body(message!)).toMatchObject({ command: 'get', outcome: 'ok' });
    hooks.log!(request('get b'));
    await sink.wait(2);
    expect(sink.accepted).toBe(1);
    await hooks.close!();
  });

  test('XF-40: another port is another place; the old one still gets what it was given', async () => {
    await using first = await tcpLogSink();
    await using second = await tcpLogSink();
    const conf = { host: '127.0.0.1', log_format: { c: '$command' } };
    const old = setUp(syslog, { ...conf, port: first.port });
    old.log!(request('get a'));
    const next = setUp(syslog, { ...conf, port: second.port });
    next.log!(request('set a'));
    await old.close!();
    await next.close!();
    expect((await first.wait(1)).map(body)).toEqual([{ c: 'get', route_id: '1' }]);
    expect((await second.wait(1)).map(body)).toEqual([{ c: 'set', route_id: '1' }]);
  });

  test('drop_limit bounds what waits', async () => {
    await using sink = await tcpLogSink();
    const hooks = setUp(syslog, { host: '127.0.0.1', port: sink.port, drop_limit: 1000 });
    for (let i = 0; i < 100; i++) hooks.log!(request('get a'));
    const { dropped } = (hooks.status!() as { syslog: { dropped: number } }).syslog;
    expect(dropped).toBeGreaterThan(90);
    await hooks.close!();
    expect(await sink.wait(100 - dropped)).toHaveLength(100 - dropped);
  });

  test.each<[object, string | null]>([
    [{ host: 'a', port: 514 }, null],
    [{ host: 'a', port: 514, sock_type: 'udp', timeout: 3, tls: false, pool_size: 5, drop_limit: 1, name: 'x' }, null],
    [{ host: 'a', port: 514, sock_type: 'udp', tls: true }, 'tls: expected only with sock_type tcp, got sock_type udp'],
    [{ host: 'a', port: 514, log_format: { a: [] } }, 'log_format.a: expected a text, number or object'],
  ])('%j is checked', (conf, message) => {
    expect(problemsOf(syslog, conf)).toEqual(message === null ? [] : [message]);
  });

  test.each([{ host: 'a' }, { port: 1 }, { host: 'a', port: 0 }, { host: 'a', port: 1, pool_size: 1 }])(
    '%j is refused by the schema', (conf) => { expect(problemsOf(syslog, conf)).toHaveLength(1); });
});
