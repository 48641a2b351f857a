// npm run bench -- routes [COUNT]: how long a change of one stream route takes among many, and how long a match takes.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Origin } from '../../core/connection.ts';
import { Router, type MatchConf } from '../../core/router.ts';
import { folder, listening, startChild } from './children.ts';
import { fromSources } from './millrace.ts';
import { ownPort } from './own-port.ts';

const key = 'bench-admin-key-0123456789abcdef';
const changes = 50;
const matches = 100_000;

export async function benchRoutes(count: number): Promise<void> {
  console.log(`${count} stream routes, ${availableParallelism()} workers`);
  await changeOne(count);
  for (const number of [100, 1000, count]) matchAmong(number);
}

/** Every third by port, by client address, by server name. */
function matchOf(i: number): MatchConf {
  if (i % 3 === 0) return { remote_addr: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, server_port: 1 + (i % 60_000) };
  if (i % 3 === 1) return { remote_addr: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` };
  return { sni: `host-${i}.example` };
}

function routeOf(i: number): Record<string, unknown> {
  // The port is the listener's: ports of their own would be opened.
  const { server_port: _port, ...match } = matchOf(i);
  return { id: String(i), ...match, upstream: { nodes: { '127.0.0.1:6379': 1 } }, protocol: { name: 'redis' } };
}

async function changeOne(count: number): Promise<void> {
  const own = mkdtempSync(join(folder, 'millrace-'));
  const [port, admin] = [await ownPort(), await ownPort()];
  const routes = Array.from({ length: count }, (_, i) => routeOf(i));
  writeFileSync(join(own, 'resources.json'), JSON.stringify({ stream_routes: routes }));
  const settings = join(own, 'millrace.json');
  writeFileSync(settings, JSON.stringify({
    listeners: [{ port, protocol: 'redis' }], admin: { port: admin, key }, resources: 'resources.json', log: { level: 'warn' },
  }));
  const began = performance.now();
  const child = startChild('millrace', [process.execPath, fromSources, 'start', '-c', settings], { cpu: null, talk: 'file' });
  await listening(child, port);
  console.log(`  started and listening  ${Math.round(performance.now() - began)} ms`);
  const times: number[] = [];
  for (let i = 0; i < changes; i++) {
    const at = performance.now();
    const response = await fetch(`http://127.0.0.1:${admin}/apisix/admin/stream_routes/changed`, {
      method: 'PUT', headers: { 'X-API-KEY': key },
      body: JSON.stringify({ ...routeOf(1), id: 'changed', desc: String(i) }),
    });
    if (!response.ok) throw new Error(`PUT: expected 200 or 201, got ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    times.push(performance.now() - at);
  }
  await child.stop();
  times.sort((a, b) => a - b);
  const at = (part: number): string => times[Math.floor(part * (times.length - 1))]!.toFixed(1);
  console.log(`  PUT of one, durable and running on all workers  median ${at(0.5)} ms, p90 ${at(0.9)} ms, most ${at(1)} ms`);
}

function matchAmong(count: number): void {
  const router = new Router(Array.from({ length: count }, (_, i) => (
    { route: { id: String(i), protocol: 'redis', conf: {}, plan: null }, conf: matchOf(i) })));
  const origins = Array.from({ length: 1000 }, (_, n) => originOf(matchOf((n * 7919) % count)));
  let found = 0;
  const run = (): void => { for (let i = 0; i < matches; i++) if (router.match(origins[i % 1000]!) !== null) found++; };
  run();
  const at = performance.now();
  run();
  const each = (performance.now() - at) * 1e6 / matches;
  if (found !== 2 * matches) throw new Error(`match: expected ${2 * matches} routes, found ${found}`);
  console.log(`  match among ${String(count).padStart(6)}  ${Math.round(each)} ns`);
}

function originOf({ remote_addr: remote = '192.0.2.1', server_port: port = 1, ...match }: MatchConf): Origin {
  const sni = match.sni ?? null;
  return { remoteAddress: remote, remotePort: 1, localAddress: '127.0.0.1', localPort: port, sni, tls: sni !== null };
}
