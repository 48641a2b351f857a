// The text of INFO: the fields that clients and dashboards read.
import { REDIS_VERSION } from './redis-version.ts';
import type { Engine } from './engine.ts';

type Section = (engine: Engine) => Readonly<Record<string, string | number>>;

const sections: Readonly<Record<string, Section>> = {
  Server: (engine) => ({
    redis_version: REDIS_VERSION,
    redis_mode: 'standalone',
    millrace_memory: 'for demo and development only',
    os: `${process.platform} ${process.arch}`,
    arch_bits: 64,
    process_id: process.pid,
    tcp_port: engine.port,
    server_time_usec: Math.floor(engine.now() * 1000),
    uptime_in_seconds: Math.floor((engine.now() - engine.startedAt) / 1000),
  }),
  Clients: (engine) => ({
    connected_clients: engine.connections.size,
    maxclients: 10_000,
    blocked_clients: engine.blocking.count,
  }),
  Memory: () => ({
    used_memory: process.memoryUsage().heapUsed, maxmemory: 0, maxmemory_policy: 'noeviction',
  }),
  Persistence: () => ({ loading: 0, rdb_bgsave_in_progress: 0, aof_enabled: 0 }),
  Stats: (engine) => ({
    total_connections_received: engine.connectionsReceived,
    total_commands_processed: engine.commandsProcessed,
    pubsub_channels: [...engine.channels.names('channels')].length,
    pubsub_patterns: engine.channels.patternCount,
  }),
  Replication: () => ({ role: 'master', connected_slaves: 0 }),
  Cluster: () => ({ cluster_enabled: 0 }),
  Keyspace: (engine) => Object.fromEntries(engine.databases
    .filter((database) => database.size > 0)
    .map((database) => [
      `db${database.index}`, `keys=${database.size},expires=${database.expiringKeys},avg_ttl=0`,
    ])),
};

/** All sections, or those named, in the order of the list above. */
export function describeServer(engine: Engine, names: readonly string[]): string {
  const wanted = names.map((name) => name.toLowerCase());
  const all = wanted.length === 0 || wanted.some((name) => ['all', 'default', 'everything'].includes(name));
  return Object.entries(sections)
    .filter(([name]) => all || wanted.includes(name.toLowerCase()))
    .map(([name, section]) => {
      const lines = Object.entries(section(engine)).map(([field, value]) => `${field}:${value}\r\n`);
      return `# ${name}\r\n${lines.join('')}`;
    })
    .join('\r\n');
}
