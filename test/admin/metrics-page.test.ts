// What a scraper reads: the whole page, with everything in labels that an escape could miss.
import { expect, test, vi } from 'vitest';
import { startMillrace } from '../support/millrace-process.ts';
import { freePort } from '../support/ports.ts';
import { readPrometheusText } from '../support/prometheus-text.ts';
import { startRedis } from '../support/redis-server.ts';

vi.setConfig({ testTimeout: 30_000 });

test('the page is Prometheus text: a family stands in one piece with HELP and TYPE once, a series once, labels are escaped', async () => {
  await using redis = await startRedis();
  const odd = 'quote" back\\slash\nline {a="b",} é';
  await using proxy = await startMillrace({
    settings: { workers: 2, plugins: ['plugins'] },
    files: { 'plugins/odd.ts': `export default {
      name: 'odd', priority: 1, schema: { type: 'object' },
      setup: (_conf, { counter, gauge }) => {
        gauge('odd_level', ${JSON.stringify(odd)}).set(-1.5e-9);
        const seen = counter('odd_seen_total', 'Seen.');
        return { connect: () => seen.add(1), waiting: () => 1 };
      },
    };` },
  });
  await proxy.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${redis.port}`]: 1 } }, protocol: { name: 'redis', metric: { enable: true } }, plugins: { odd: {} },
  });
  // The same node twice, with checks.
  const node = { host: '127.0.0.1', port: await freePort(), weight: 1 };
  await proxy.put('/apisix/admin/stream_routes/2', {
    remote_addr: '10.0.0.2', protocol: { name: 'redis' },
    upstream: { nodes: [node, { ...node, weight: 2, priority: -1 }], checks: { active: { type: 'tcp' } } },
  });
  for (let n = 0; n < 20; n++) await (await proxy.connect()).pipeline([['SET', 'a', '1'], ['GET', 'a'], ['NOSUCH'], ['LPUSH', 'a', '1']]);
  const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const families = new Map(readPrometheusText(await response.text()).map((family) => [family.name, family]));
  expect(families.size).toBeGreaterThan(40);
  expect(families.get('millrace_odd_level')).toMatchObject({ type: 'gauge', help: odd.replaceAll('\\', '\\\\').replaceAll('\n', '\\n') });
  expect(families.get('millrace_odd_level')!.samples.map(({ value }) => value)).toEqual([-1.5e-9]);
  expect(families.get('millrace_odd_seen_total')!.samples.map(({ value }) => value)).toEqual([20]);
  expect(families.get('apisix_batch_process_entries')!.samples).toEqual([{
    name: 'apisix_batch_process_entries', labels: { name: 'odd', route_id: '1' }, value: 2,
  }]);
  expect(families.get('apisix_upstream_status')!.samples).toHaveLength(1);
  expect(families.get('apisix_redis_commands_latency_seconds')!.samples.find(({ name, labels: { command } }) => (
    name.endsWith('_count') && command === 'get'))?.value).toBe(20);
});

test('the reader of this test refuses what a scraper would', () => {
  const head = '# HELP a A.\n# TYPE a counter\n';
  expect(readPrometheusText(`${head}a{b="\\"\\\\\\n,}"} 1\n`)[0]!.samples).toEqual([{ name: 'a', labels: { b: '"\\\n,}' }, value: 1 }]);
  for (const [wrong, why] of [
    [`${head}a 1`, 'does not end'], [`${head}a 1\na 2\n`, 'a series twice'], [`${head}b 1\n`, 'behind another family'],
    [`${head}a{b="1"} 1\n${head}a{b="2"} 1\n`, 'a family twice'], [`${head}a{b="""} 1\n`, 'labels'],
    [`${head}a{b="\\x"} 1\n`, 'labels'], [`${head}a{b="1",b="2"} 1\n`, 'labels'], [`${head}a one\n`, 'no sample'],
    [`${head}a -1\n`, 'a counter is -1'], ['# HELP a A.\na 1\n', 'expected its TYPE'], [head, 'without series'],
    ['# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n', 'buckets rise'],
  ] as const) expect(() => readPrometheusText(wrong), wrong).toThrow(why);
});
