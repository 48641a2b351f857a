// What every door owes, whatever its protocol: the same plugins do the same things on each of them.
import { describe, expect, test } from 'vitest';
import type { LogSink } from '../support/log-sinks.ts';
import { tcpLogSink } from '../support/log-sinks.ts';
import type { Proxy } from '../support/proxy.ts';
import { sleep } from '../support/sleep.ts';

/** One client of a door. Operations are named alike on all of them: `first` and `second`. */
export interface DoorClient {
  /** Sends the operations in one write. */
  send(operations: readonly Operation[]): void;
  /** The next answers: `ok` from the node, or the text of our error. */
  answers(count: number): Promise<string[]>;
  /** Bytes that came so far. */
  readonly bytes: number;
  /** Resolves when the proxy ended the connection. */
  ended(): Promise<void>;
  /** What becomes of an operation that is refused: its error text, or `ended` where the protocol has no errors. */
  refusal(): Promise<string>;
}

export type Operation = 'first' | 'second';

export interface DoorFixture extends AsyncDisposable {
  readonly proxy: Proxy;
  connect(): Promise<DoorClient>;
  /** PUTs the route anew with these plugins. */
  use(plugins: Record<string, unknown>): Promise<void>;
  /** Operations that reached the node, by the names that its protocol has for them. */
  received(): Promise<string[]>;
}

export interface Door {
  readonly name: string;
  /** The names that its protocol has for the operations. */
  readonly operations: Readonly<Record<Operation, string>>;
  /** Whether an error of ours can be written, or ends the connection. */
  readonly hasErrors: boolean;
  start(): Promise<DoorFixture>;
}

export function doorContract(door: Door): void {
  const { first, second } = door.operations;

  describe(`door ${door.name}`, () => {
    test('without plugins everything reaches the node and comes back in order', async () => {
      await using fixture = await door.start();
      const client = await fixture.connect();
      client.send(['first', 'second', 'first']);
      expect(await client.answers(3)).toEqual(['ok', 'ok', 'ok']);
      expect(await fixture.received()).toEqual([first, second, first]);
    });

    test('a fault answers the operations it is for, and nothing reaches the node', async () => {
      await using fixture = await door.start();
      await fixture.use({
        'fault-injection': { commands: [second.toUpperCase()], abort: { error: 'made to fail' } },
      });
      const client = await fixture.connect();
      client.send(['first', 'second']);
      expect(await client.answers(1)).toEqual(['ok']);
      expect(await client.refusal()).toMatch(door.hasErrors ? /made to fail/ : /^ended$/);
      expect(await fixture.received()).toEqual([first]);
      expect(await fixture.proxy.metrics()).toMatch(/millrace_request_errors_total\{.*route="1".*\} 1\n/);
    });

    test.runIf(door.hasErrors)('an answer of ours between two of the node\'s keeps its place', async () => {
      await using fixture = await door.start();
      await fixture.use({ 'fault-injection': { commands: [second], abort: { error: 'made to fail' } } });
      const client = await fixture.connect();
      for (let round = 0; round < 20; round++) {
        client.send(['first', 'second', 'first', 'first', 'second', 'second', 'first']);
        const answers = await client.answers(7);
        expect(answers.map((each) => each === 'ok')).toEqual([true, false, true, true, false, false, true]);
      }
    });

    test('a fault that closes ends the connection with its code and without a word', async () => {
      await using fixture = await door.start();
      await fixture.use({ 'fault-injection': { commands: [second], abort: { close: true } } });
      const client = await fixture.connect();
      client.send(['first']);
      expect(await client.answers(1)).toEqual(['ok']);
      const before = client.bytes;
      client.send(['second']);
      await client.ended();
      expect(client.bytes).toBe(before);
      expect(await fixture.proxy.metrics()).toMatch(/connections_closed_total\{reason="FAULT_INJECTED"\} 1/);
    });

    test('a delay holds its client and no other', async () => {
      await using fixture = await door.start();
      await fixture.use({ 'fault-injection': { commands: [second], delay: { duration: 0.5 } } });
      const [slow, quick] = [await fixture.connect(), await fixture.connect()];
      const began = performance.now();
      const order: string[] = [];
      slow.send(['second', 'first']);
      quick.send(['first']);
      await Promise.all([
        quick.answers(1).then(() => order.push('quick')),
        slow.answers(2).then((answers) => order.push('slow', ...answers)),
      ]);
      expect(order).toEqual(['quick', 'slow', 'ok', 'ok']);
      expect(performance.now() - began).toBeGreaterThan(495);
    });

    test('a limit counts every operation and refuses what is too much', async () => {
      await using fixture = await door.start();
      await fixture.use({ 'limit-count': { count: 3, time_window: 60, rejected_msg: 'enough of it' } });
      const client = await fixture.connect();
      client.send(['first', 'second', 'first']);
      expect(await client.answers(3)).toEqual(['ok', 'ok', 'ok']);
      client.send(['first']);
      expect(await client.refusal()).toMatch(door.hasErrors ? /enough of it/ : /^ended$/);
      expect(await fixture.received()).toHaveLength(3);
    });

    test('a logger has one record for every operation, with its outcome', async () => {
      await using fixture = await door.start();
      await using sink: LogSink = await tcpLogSink();
      await fixture.use({
        logger: {
          tcp: { host: '127.0.0.1', port: sink.port }, batch_max_size: 1,
          log_format: { command: '$command', outcome: '$outcome', from: '$remote_addr', node: '$upstream_addr', took: '$rpc_time' },
        },
        'fault-injection': { commands: [second], abort: { error: 'made to fail' } },
      });
      const client = await fixture.connect();
      client.send(['first', 'second']);
      const records = (await sink.wait(2)).map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(records).toMatchObject([
        {
          command: first, outcome: 'ok', from: '127.0.0.1', node: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
          route_id: '1',
        },
        { command: second, outcome: 'fault_injected', node: '' },
      ]);
      for (const { took } of records) expect(took).toBeTypeOf('number');
    });

    test('plugins that change act on open connections from their next operation on', async () => {
      await using fixture = await door.start();
      const client = await fixture.connect();
      client.send(['second']);
      expect(await client.answers(1)).toEqual(['ok']);
      await fixture.use({ 'fault-injection': { commands: [second], delay: { duration: 0.1 } } });
      const began = performance.now();
      client.send(['second']);
      expect(await client.answers(1)).toEqual(['ok']);
      expect(performance.now() - began).toBeGreaterThan(95);
      await fixture.use({});
      client.send(['second']);
      expect(await client.answers(1)).toEqual(['ok']);
    });

    test('a route that is gone ends its connections with the reason', async () => {
      await using fixture = await door.start();
      const client = await fixture.connect();
      client.send(['first']);
      await client.answers(1);
      await fixture.proxy.call('DELETE', '/apisix/admin/stream_routes/1');
      await sleep(10);
      client.send(['first']);
      await client.ended();
      await expect.poll(() => fixture.proxy.metrics()).toMatch(/connections_closed_total\{reason="ROUTE_REMOVED"\} 1/);
    });
  });
}
