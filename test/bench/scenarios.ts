// What is measured, and what it has to reach: ratios to the first peer, measured in the same rounds.
import type { Shape } from './load.ts';

export type Figure = 'throughput' | 'cpu' | 'p99';

export interface Goal {
  readonly figure: Figure;
  readonly ratio: number;
}

export interface Scenario {
  /** For `--only`. */
  readonly id: string;
  readonly title: string;
  readonly plugins: boolean;
  readonly shape: Shape;
  readonly goals: readonly Goal[];
}

const small: Shape = { op: 'get', connections: 50, depth: 1, bytes: 3 };
const large: Shape = { ...small, bytes: 64 * 1024 };

export const scenarios: readonly Scenario[] = [
  {
    id: 'plain-1', title: 'GET 3 B, depth 1', plugins: false, shape: small,
    goals: [goal('throughput', 1.1), goal('cpu', 0.95), goal('p99', 1.25)],
  },
  {
    id: 'plain-16', title: 'GET 3 B, depth 16', plugins: false, shape: { ...small, depth: 16 },
    goals: [goal('throughput', 2), goal('cpu', 0.5), goal('p99', 0.7)],
  },
  {
    id: 'plain-64', title: 'GET 3 B, depth 64', plugins: false, shape: { ...small, depth: 64 },
    goals: [goal('throughput', 6.5), goal('cpu', 0.16)],
  },
  {
    id: 'plugins-1', title: 'GET 3 B, depth 1, three plugins', plugins: true, shape: small,
    goals: [goal('throughput', 1)],
  },
  {
    id: 'plugins-16', title: 'GET 3 B, depth 16, three plugins', plugins: true,
    shape: { ...small, depth: 16 }, goals: [goal('throughput', 1.5)],
  },
  {
    id: 'value-1k', title: 'GET 1 KiB, depth 16', plugins: false, shape: { ...small, bytes: 1024, depth: 16 },
    goals: [goal('throughput', 1.6)],
  },
  {
    id: 'get-64k', title: 'GET 64 KiB, depth 1', plugins: false, shape: large,
    goals: [goal('throughput', 0.95)],
  },
  {
    id: 'set-64k', title: 'SET 64 KiB, depth 1', plugins: false, shape: { ...large, op: 'set' },
    goals: [goal('throughput', 0.95)],
  },
];

/** System calls of the proxy's process per request that waits for its reply. */
export const syscalls = { id: 'syscalls', goal: 2.2, connections: 50, requests: 10_000 };
/** Of a process that was started for it. */
export const memory = { id: 'memory', connections: 8000, kibPerConnection: 8, idleMb: 70 };

export const ids: readonly string[] = [...scenarios.map(({ id }) => id), syscalls.id, memory.id];

function goal(figure: Figure, ratio: number): Goal {
  return { figure, ratio };
}
