// npm run soak [-- --minutes N --only G3,G7]: the gates at full size, one after the other, and a table at the end.
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { startRedis } from '../support/redis-server.ts';
import { failedTorture, reportTorture, runTorture } from '../torture/torture.ts';
import { drainUnderLoad } from './drain.ts';
import { endurance } from './endurance.ts';
import { hostileClients } from './hostile.ts';
import { idleClients } from './idle-clients.ts';
import { reloadsUnderLoad } from './reloads.ts';

interface Row { readonly gate: string; readonly met: boolean; readonly measured: string }

const { values } = parseArgs({ options: {
  minutes: { type: 'string', default: '30' }, seed: { type: 'string', default: '1' }, only: { type: 'string', default: '' },
} });
const minutes = Number(values.minutes);
const round = (value: number): number => Math.round(value * 100) / 100;

const gates: Readonly<Record<string, () => Promise<Row>>> = {
  async G1() {
    let right = 0;
    for (let seed = Number(values.seed); right < 20_000_000 && performance.now() < minutes * 60_000; seed++) {
      const result = await runTorture({ seconds: 60, seed });
      right += result.world.ok;
      if (failedTorture(result)) return { gate: 'no wrong reply in 20 million', met: false, measured: reportTorture(result) };
    }
    return { gate: 'no wrong reply in 20 million', met: right >= 20_000_000, measured: `0 wrong in ${right}` };
  },
  async G3() {
    await using redis = await startRedis();
    const { bytesEach, clients } = await idleClients(redis.port, 10_000);
    return { gate: 'idle client ≤ 10 KB', met: bytesEach <= 10_000, measured: `${Math.round(bytesEach)} B each, ${clients} clients` };
  },
  async G4() {
    await using redis = await startRedis();
    const { slope, descriptors, sessions, oracle } = await endurance(redis.port, minutes * 60, Math.min(600, minutes * 20));
    return {
      gate: 'slope ≤ 2 MB/h, descriptors ± 5', met: slope <= 2 && Math.abs(descriptors.after - descriptors.before) <= 5 && sessions === 0 && oracle.wrong === null,
      measured: `${round(slope)} MB/h, descriptors ${descriptors.before} → ${descriptors.after}, ${oracle.ok} right`,
    };
  },
  async G6() {
    await using redis = await startRedis();
    const { heap, untouched, changed, reloads } = await reloadsUnderLoad(redis.port, 1000, 60);
    const bad = [untouched, changed].reduce((n, { errors, closed, stalled, wrong }) => n + errors.size + closed + stalled + (wrong === null ? 0 : 1), 0);
    return {
      gate: '1,000 reloads, 0 failed, heap ± 5 %', met: bad === 0 && Math.abs(heap.after / heap.before - 1) <= 0.05,
      measured: `${reloads} reloads, ${bad} failed, heap ${round(heap.before / 1e6)} → ${round(heap.after / 1e6)} MB, ${untouched.ok + changed.ok} right`,
    };
  },
  async G7() {
    let slowest = 0;
    for (let n = 1; n <= 100; n++) {
      const { code, ms, unanswered, output } = await drainUnderLoad(30, 8, 0.5);
      slowest = Math.max(slowest, ms);
      if (code !== 0 || unanswered.length > 0) return { gate: '100 drains', met: false, measured: `drain ${n}: status ${code}, ${unanswered.slice(0, 3).join('; ')} ${output}` };
    }
    return { gate: '100 drains', met: slowest <= 10_000, measured: `all answered, status 0, slowest ${Math.round(slowest)} ms` };
  },
  async G9() {
    await using redis = await startRedis();
    const { quietPerSecond, besidePerSecond, quietP99, besideP99, failed, peak } = await hostileClients(redis.port, 1000, 50, 10);
    return {
      gate: '1,000 hostile beside 50 good', met: failed === 0 && peak <= 512e6 && besidePerSecond >= 0.8 * quietPerSecond && besideP99 <= 3 * quietP99,
      measured: `${Math.round(quietPerSecond)} → ${Math.round(besidePerSecond)}/s, p99 ${round(quietP99)} → ${round(besideP99)} ms, ${Math.round(peak / 1e6)} MB, ${failed} failed`,
    };
  },
};

const only = values.only === '' ? Object.keys(gates) : values.only.split(',');
const rows: [string, Row][] = [];
for (const name of only) {
  const gate = gates[name];
  if (gate === undefined) throw new Error(`--only: expected some of ${Object.keys(gates).join(', ')}, got ${name}`);
  console.log(`${name} …`);
  rows.push([name, await gate()]);
}
console.log('\n| | Gate | Met | Measured |\n|---|---|---|---|');
for (const [name, { gate, met, measured }] of rows) console.log(`| ${name} | ${gate} | ${met ? 'yes' : 'NO'} | ${measured} |`);
process.exitCode = rows.every(([, { met }]) => met) ? 0 : 1;
