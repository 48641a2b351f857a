// What the request hooks of a plan cost, each doing next to nothing. Aim: no question but one without hooks,
// below 5 ns for each hook.
import { Metrics } from '../../../core/metrics.ts';
import { runRequestHooks } from '../../../core/phases.ts';
import { Plan, type Place } from '../../../core/plan.ts';
import { RouteMetrics } from '../../../core/route-metrics.ts';
import { LineRequest } from '../../support/line-request.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

const metrics = new Metrics();

await nanoseconds('plan-run', {
  '0 hooks': running(0),
  '1 hook': running(1),
  '5 hooks': running(5),
});

function running(count: number): () => number {
  let seen = 0;
  const places = Array.from({ length: count }, (_, i): Place => ({
    plugin: `plugin-${i}`, version: '1', priority: 0, mark: i + 1, source: 'route',
    report: (code) => { throw new Error(code); },
    hooks: { request(request) { seen += request.bytesIn; } },
  }));
  const plan = new Plan({
    routeId: `${count}`, places, requestTimeout: 60_000,
    metrics: new RouteMetrics(metrics, `${count}`, 'line'),
    backend: { send: () => undefined, close: () => undefined },
  });
  const request = new LineRequest('get a');
  return () => {
    for (let i = 0; i < calls; i++) {
      const wait = plan.request === null ? undefined : runRequestHooks(plan.request, request);
      if (wait !== undefined) throw new Error('a hook waits');
      seen++;
    }
    return seen;
  };
}
