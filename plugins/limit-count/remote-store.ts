// Windows counted in a Redis that several Millraces share. One script call per request, answered within 50 ms
// or not at all.
import { createHash } from 'node:crypto';
import type { Client, PluginContext } from '../../core/plugin.ts';
import { keySlot } from './key-slot.ts';

/** Longest time in ms that a request waits for the decision. */
export const decisionTime = 50;

// Nothing is taken when the limit is reached. SELECT inside of a script ends with it.
const fixedScript = `
if ARGV[3] ~= '0' then redis.call('SELECT', ARGV[3]) end
local limit = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= limit then return -1 end
local taken = redis.call('INCR', KEYS[1])
if taken == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return limit - taken`;

// One hash per key keeps both windows in one slot of a cluster; the time is the server's, so that all agree.
const slidingScript = `
if ARGV[3] ~= '0' then redis.call('SELECT', ARGV[3]) end
local limit, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local window = math.floor(now / length)
local kept = redis.call('HMGET', KEYS[1], 'window', 'count', 'before')
local at, count, before = tonumber(kept[1] or '0'), tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
if at ~= window then
  before = at == window - 1 and count or 0
  count = 0
end
local left = limit - count - 1 - before * ((window + 1) * length - now) / length
if left < 0 then return -1 end
redis.call('HSET', KEYS[1], 'window', window, 'count', count + 1, 'before', before)
redis.call('PEXPIRE', KEYS[1], length * 2)
return math.floor(left)`;

interface Script {
  readonly text: string;
  readonly sha: string;
}

const fixed = script(fixedScript);
const sliding = script(slidingScript);

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

export interface RemoteConf {
  readonly policy: 'redis' | 'redis-cluster';
  /** `host:port` of one server, or of some members of a cluster. */
  readonly nodes: readonly string[];
  readonly database: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
  readonly verify: boolean;
  /** Milliseconds, at most `decisionTime`. */
  readonly timeout: number;
}

// MOVED leads to the right node at once; a second one means that the cluster is being rebuilt.
const mostMoves = 2;
const mostNodes = 1000;

export class RemoteStore {
  readonly #conf: RemoteConf;
  readonly #context: PluginContext;
  readonly #clients = new Map<string, Client>();
  /** Which member answers for a slot, as MOVED told. */
  readonly #slots = new Map<number, string>();

  constructor(conf: RemoteConf, context: PluginContext) {
    this.#conf = conf;
    this.#context = context;
  }

  /** What is left after taking one, -1 when nothing was. Rejects when there is no answer in time. */
  take(key: string, limit: number, length: number, slide: boolean): Promise<number> {
    return inTime(this.#ask(key, limit, length, slide ? sliding : fixed), this.#conf.timeout);
  }

  async #ask(key: string, limit: number, length: number, asked: Script): Promise<number> {
    const cluster = this.#conf.policy === 'redis-cluster';
    const slot = cluster ? keySlot(key) : -1;
    const rest = ['1', key, String(limit), String(length), String(this.#conf.database)];
    let node = this.#slots.get(slot);
    let command = ['EVALSHA', asked.sha, ...rest];
    for (let moves = 0; ;) {
      try {
        return Number(await this.#client(node).call(command, this.#conf.timeout));
      } catch (cause) {
        const text = cause instanceof Error ? cause.message : '';
        if (text.startsWith('NOSCRIPT')) {
          command = ['EVAL', asked.text, ...rest];
          continue;
        }
        const moved = cluster && moves++ < mostMoves ? /^MOVED \d+ (\S+:\d+)$/.exec(text) : null;
        if (moved === null) {
          this.#slots.delete(slot);
          throw cause;
        }
        node = moved[1]!;
        this.#slots.set(slot, node);
      }
    }
  }

  #client(node: string | undefined): Client {
    const name = node ?? '';
    let client = this.#clients.get(name);
    if (client === undefined) {
      if (this.#clients.size >= mostNodes) this.close();
      client = this.#context.client('redis', this.#upstream(node === undefined ? this.#conf.nodes : [node]));
      this.#clients.set(name, client);
    }
    return client;
  }

  #upstream(nodes: readonly string[]): unknown {
    const { username, password, tls, verify, timeout } = this.#conf;
    const seconds = timeout / 1000;
    return {
      type: 'roundrobin',
      nodes: Object.fromEntries(nodes.map((node) => [node, 1])),
      timeout: { connect: seconds, send: seconds, read: seconds },
      ...(password === undefined ? {} : { auth: { password, ...(username === undefined ? {} : { username }) } }),
      ...(tls ? { scheme: 'tls', tls: { verify } } : {}),
    };
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    this.#slots.clear();
  }
}

/** A timer of its own: the links' deadlines are looked at too seldom for this. */
async function inTime(answer: Promise<number>, milliseconds: number): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
