// Redis: RESP2 and RESP3 in front, shared and own links behind.
//
// Reading order: input.ts and resp/scan-request.ts (bytes → a command), session.ts (which link it takes; node-choice.ts,
// run.ts, refusal.ts), link.ts and resp/scan-reply.ts (bytes → its reply), own-state.ts (transactions, subscriptions,
// blocking), door-commands.ts (AUTH, HELLO, SELECT, CLIENT …), link-set.ts (links per node), backend.ts.
import { defineProtocol } from '../../core/protocol.ts';
import { RedisBackend, type RedisConf } from './backend.ts';
import { redisClient } from './client.ts';
import { configuredReply } from './configured-reply.ts';
import { faultSchema, faultPlaces } from './faults.ts';
import { MemoryRedis } from './memory/server.ts';
import { neverAllowed } from './refusal.ts';
import { probeRedis } from './probe.ts';
import { errorLine } from './resp/encode.ts';
import { RedisSession } from './session.ts';
import { matchSchema } from './subordinates.ts';

export default defineProtocol<RedisConf>({
  name: 'redis',
  variables: ['redis_cmd_line', 'redis_db', 'redis_subcommand', 'redis_client_name'],
  schema: {
    type: 'object',
    additionalProperties: false,
    properties: {
      upstream_connection: {
        enum: ['shared', 'dedicated'],
        description: '`shared` (default): stateless commands of all clients travel on few connections, clients with '
          + 'state of their own get one. `dedicated`: every client has a server connection of its own.',
      },
      allow_commands: {
        type: 'array',
        items: { type: 'string', minLength: 1, maxLength: 64 },
        maxItems: 100,
        description: 'Commands that are refused by default because they would harm other clients, e.g. `debug` or '
          + '`client kill`.',
      },
      faults: faultSchema,
      match: matchSchema,
    },
  },
  check: ({ allow_commands: names }) => neverAllowed(names ?? []),
  door: {
    open: (connection, route, engine) => new RedisSession(connection, route, engine),
    refuse: (text) => errorLine(`ERR ${text}`),
  },
  backend: (options) => new RedisBackend(options),
  places: (conf) => faultPlaces(conf),
  embedded: () => new MemoryRedis(),
  reply: (value) => configuredReply(value),
  probe: (target, signal) => probeRedis(target, signal),
  client: (upstream, engine) => redisClient(upstream, engine),
});
