// A10: where sinks of loggers may not go, by the name that they are configured with.
import type { LookupFunction } from 'node:net';
import { expect, test } from 'vitest';
import type { Plugin, Targets } from '../../core/plugin.ts';
import { TargetRules } from '../../core/targets.ts';
import httpLogger from '../../plugins/http-logger.ts';
import kafkaLogger from '../../plugins/kafka-logger.ts';
import opentelemetry from '../../plugins/opentelemetry.ts';
import tcpLogger from '../../plugins/tcp-logger.ts';
import udpLogger from '../../plugins/udp-logger.ts';
import { startKafka } from '../support/kafka-cluster.ts';
import { LineRequest } from '../support/line-request.ts';
import { httpLogSink, tcpLogSink, udpLogSink } from '../support/log-sinks.ts';
import { startOtlpCollector } from '../support/otlp-collector.ts';
import { setUp, testContext } from '../support/plugin-context.ts';

/** The usual rules, where each name leads to one address. */
function namesLeadTo(address: string): Targets {
  const rules = new TargetRules();
  const ask: LookupFunction = (_host, _options, done) => done(null, [{ address, family: 4 }]);
  return { refusal: (host, port) => rules.refusal(host, port), dial: (host, port) => rules.dial(host, port, ask) };
}

const one = { batch_max_size: 1 };
type Started = AsyncDisposable & { readonly port: number };

/** What `sent` and `dropped` of its status are after one record. */
async function logged(plugin: Plugin, conf: object, targets: Targets): Promise<{ sent: number; dropped: number }> {
  const hooks = setUp(plugin, conf, testContext({ targets }));
  hooks.select?.(new LineRequest('get a'));
  hooks.log!(new LineRequest('get a').finish('+ok'));
  await hooks.close!();
  const status = hooks.status!() as Record<string, any>;
  const { sent, dropped } = typeof status['sent'] === 'number' ? status : Object.values(status)[0] as any;
  return { sent, dropped } as { sent: number; dropped: number };
}

test.for<readonly [string, Plugin, () => Promise<Started>, (port: number) => object]>([
  ['tcp-logger', tcpLogger, () => tcpLogSink(), (port) => ({ host: 'sink.test', port, ...one })],
  ['udp-logger', udpLogger, () => udpLogSink(), (port) => ({ host: 'sink.test', port, ...one })],
  ['http-logger', httpLogger, () => httpLogSink(), (port) => ({ uri: `http://sink.test:${port}/`, ...one })],
  ['opentelemetry', opentelemetry, () => startOtlpCollector(), (port) => ({ endpoint: `http://sink.test:${port}`, sample: 1, timeout: 1 })],
])('%s goes where its name leads, unless that is where no connection may go', async ([, plugin, start, conf]) => {
  await using sink = await start();
  expect(await logged(plugin, conf(sink.port), namesLeadTo('127.0.0.1'))).toEqual({ sent: 1, dropped: 0 });
  expect(await logged(plugin, conf(sink.port), namesLeadTo('169.254.169.254'))).toEqual({ sent: 0, dropped: 1 });
});

test('a broker that a Kafka cluster names is judged as one that is configured', async () => {
  await using cluster = await startKafka(2);
  cluster.leaders[0] = 1;
  const [first, second] = cluster.ports as [number, number];
  const conf = { brokers: [{ host: '127.0.0.1', port: first }], kafka_topic: 'access', timeout: 1, ...one };
  const rules = new TargetRules({ admin: { address: '127.0.0.1', port: second } });
  expect(await logged(kafkaLogger, conf, rules)).toEqual({ sent: 0, dropped: 1 });
  expect([cluster.records, cluster.accepted]).toEqual([[], 1]);
  expect(await logged(kafkaLogger, conf, new TargetRules())).toEqual({ sent: 1, dropped: 0 });
});
