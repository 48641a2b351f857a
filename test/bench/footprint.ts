// What does not depend on how busy the machine is: system calls per request, and memory.
import { countSyscalls, straceMissing } from '../support/strace-count.ts';
import { sleep } from '../support/sleep.ts';
import type { Load } from './load.ts';
import type { Proxy, Running } from './proxy.ts';
import { memory, syscalls } from './scenarios.ts';
import { judged, type Row } from './table.ts';
import { residentKib } from './usage.ts';

/** Time for connections to be accepted and for what a start leaves behind to be freed. */
const settling = 2000;

export async function syscallRow(
  subject: string, running: ReadonlyMap<string, Running>, load: Load,
): Promise<Row> {
  const what = 'System calls per request, depth 1';
  const target = { atLeast: false, value: syscalls.goal, digits: 2 };
  const missing = straceMissing();
  if (missing !== null) return { what, ...judged(target, null), range: '', others: missing };
  console.log(`\n${what}  (${syscalls.id})`);
  const counts = new Map<string, number>();
  for (const [name, proxy] of running) {
    await load.hold(proxy.port, syscalls.connections);
    const counted = await countSyscalls(proxy.child.pid, () => load.fetch(syscalls.requests));
    await load.drop();
    counts.set(name, counted.perRequest);
    console.log(`  ${name.padEnd(20)}${counted.perRequest.toFixed(2)}  ${commonest(counted.calls)}`);
  }
  return { what, ...judged(target, counts.get(subject)!), range: '', others: others(counts, subject, 2) };
}

export async function memoryRows(
  subject: string, proxies: readonly Proxy[], load: Load, cpu: number,
): Promise<Row[]> {
  console.log(`\nMemory, idle and with ${memory.connections} idle connections  (${memory.id})`);
  const idle = new Map<string, number>();
  const perConnection = new Map<string, number>();
  for (const proxy of proxies) {
    const { child, port } = await proxy.start(load.port, cpu);
    await sleep(settling);
    const before = residentKib(child.pid);
    await load.hold(port, memory.connections);
    await sleep(settling);
    const held = residentKib(child.pid);
    await load.drop();
    await child.stop();
    idle.set(proxy.name, (before * 1024) / 1e6);
    perConnection.set(proxy.name, (held - before) / memory.connections);
    console.log(`  ${proxy.name.padEnd(20)}idle ${before} KiB, then ${held} KiB`);
  }
  const most = { atLeast: false, digits: 1 };
  return [
    {
      what: `Memory per idle connection, at ${memory.connections}`,
      range: '', others: others(perConnection, subject, 1),
      ...judged({ ...most, value: memory.kibPerConnection, unit: ' KiB' }, perConnection.get(subject)!),
    },
    {
      what: 'Memory of an idle process', range: '', others: others(idle, subject, 1),
      ...judged({ ...most, value: memory.idleMb, unit: ' MB' }, idle.get(subject)!),
    },
  ];
}

function others(values: ReadonlyMap<string, number>, subject: string, digits: number): string {
  return [...values].filter(([name]) => name !== subject)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`).join(', ');
}

function commonest(calls: ReadonlyMap<string, number>): string {
  return [...calls].toSorted(([, a], [, b]) => b - a).slice(0, 5)
    .map(([name, times]) => `${name} ${times}`).join(', ');
}
