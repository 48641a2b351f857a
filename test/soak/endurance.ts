// G4: mixed load with one fault in a hundred for a long time; what the process holds must not grow.
import { runOracle, type OracleResult } from '../support/oracle.ts';
import { sleep } from '../support/sleep.ts';
import { startMillrace } from './process.ts';

export interface EnduranceResult {
  readonly oracle: OracleResult;
  /** MB per hour, of the part after warming up. */
  readonly slope: number;
  readonly descriptors: { readonly before: number; readonly after: number };
  readonly sessions: number;
}

export async function endurance(upstream: number, seconds: number, warm: number): Promise<EnduranceResult> {
  await using millrace = await startMillrace({ upstream });
  await millrace.put('/apisix/admin/stream_routes/1', {
    upstream: { nodes: { [`127.0.0.1:${upstream}`]: 1 } }, protocol: { name: 'redis' },
    plugins: { 'fault-injection': { abort: { error: 'fault', percentage: 1 }, commands: ['get', 'set', 'echo'] } },
  });
  await runOracle({ port: millrace.port, seconds: 1, connections: 20, verifyPort: upstream });
  await sleep(300);
  const before = millrace.descriptors();
  const samples: (readonly [number, number])[] = [];
  const from = performance.now();
  const timer = setInterval(() => {
    const at = (performance.now() - from) / 1000;
    if (at >= warm) samples.push([at, millrace.resident()]);
  }, Math.max(100, seconds));
  const oracle = await runOracle({
    port: millrace.port, seconds, connections: 20, maxValue: 200_000, kill: 0.002, halfClose: 0.002, slow: 0.002, verifyPort: upstream,
  });
  clearInterval(timer);
  let sessions = -1;
  for (let tries = 0; tries < 50 && sessions !== 0; tries++) {
    await sleep(50);
    sessions = await millrace.metric('millrace_connections_active');
  }
  return { oracle, slope: slopeOf(samples) * 3600 / 1e6, descriptors: { before, after: millrace.descriptors() }, sessions };
}

/** Least squares, bytes per second. */
function slopeOf(samples: readonly (readonly [number, number])[]): number {
  const n = samples.length;
  if (n < 2) return 0;
  const meanX = samples.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = samples.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = samples.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = samples.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return above / below;
}
