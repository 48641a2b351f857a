// Lets so many requests through per window and refuses the rest.
import { createHash } from 'node:crypto';
import { ProxyError } from '../core/errors.ts';
import {
  definePlugin, type CheckContext, type Counter, type Gauge, type PluginContext,
} from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import { compileTemplate, findVariable, type Variable } from '../core/variables.ts';
import { decisionTime, RemoteStore, type RemoteConf } from './limit-count/remote-store.ts';
import { limitCountSchema } from './limit-count/schema.ts';

interface Conf {
  readonly count: number;
  readonly time_window: number;
  readonly window_type: 'fixed' | 'sliding';
  readonly key: string;
  readonly key_type: 'var' | 'var_combination' | 'constant';
  readonly group?: string;
  readonly rejected_msg?: string;
  readonly policy: 'local' | 'redis' | 'redis-cluster';
  readonly allow_degradation: boolean;
  readonly redis_host?: string;
  readonly redis_port?: number;
  readonly redis_username?: string;
  readonly redis_password?: string;
  readonly redis_database?: number;
  readonly redis_timeout?: number;
  readonly redis_ssl?: boolean;
  readonly redis_ssl_verify?: boolean;
  readonly redis_cluster_nodes?: readonly string[];
  readonly redis_cluster_ssl?: boolean;
  readonly redis_cluster_ssl_verify?: boolean;
}

export default definePlugin<Conf>({
  name: 'limit-count',
  version: '1.0.0',
  priority: 1002,
  schema: limitCountSchema,
  check: checkConf,
  setup(conf, context) {
    const limit = new Limit(conf, context);
    if (conf.policy === 'local') {
      return { request: (request) => limit.takeLocal(request), transient: true, status: () => limit.status() };
    }
    const remote = new RemoteLimit(limit, conf, context);
    return {
      request: (request) => remote.take(request),
      maxWait: decisionTime * 4,
      transient: true,
      status: () => ({ ...limit.status(), ...remote.status() }),
      close: () => remote.close(),
    };
  },
});

function checkConf(conf: Conf, context: CheckContext): string[] {
  return [...checkKey(conf), ...checkPolicy(conf), ...checkStore(conf, context), ...checkGroup(conf, context)];
}

function checkKey(conf: Conf): string[] {
  if (conf.key_type === 'var_combination' && !/\$[A-Za-z_{]/.test(conf.key)) {
    const got = JSON.stringify(conf.key);
    return [`key: expected a text with $variables for key_type var_combination, got ${got}`];
  }
  try {
    if (!compileKey(conf).afterAnswer) return [];
    return [`key: expected variables that are known before the answer, got ${JSON.stringify(conf.key)}`];
  } catch (cause) {
    return [`key: ${cause instanceof Error ? cause.message : String(cause)}`];
  }
}

const neededBy = { 'redis': 'redis_host', 'redis-cluster': 'redis_cluster_nodes' } as const;

// Settings of a policy that is not chosen would be a Redis that its owner thinks is used.
const onlyWith: Readonly<Record<string, readonly string[]>> = {
  redis: ['redis_host', 'redis_port', 'redis_database', 'redis_ssl', 'redis_ssl_verify'],
  'redis-cluster': [
    'redis_cluster_nodes', 'redis_cluster_name', 'redis_cluster_ssl', 'redis_cluster_ssl_verify',
  ],
};

function checkPolicy(conf: Conf): string[] {
  const wrong: string[] = [];
  const { policy } = conf;
  if (policy !== 'local' && conf[neededBy[policy]] === undefined) {
    wrong.push(`${neededBy[policy]}: expected because policy is ${policy}, got nothing`);
  }
  for (const [owner, names] of Object.entries(onlyWith)) {
    const strays = owner === policy ? [] : names.filter((name) => Object.hasOwn(conf, name));
    wrong.push(...strays.map((name) => `${name}: expected only with policy ${owner}, got policy ${policy}`));
  }
  if (conf.redis_username !== undefined && conf.redis_password === undefined) {
    wrong.push('redis_password: expected beside redis_username, got nothing');
  }
  return wrong;
}

function checkStore({ policy, redis_host: host, redis_port: port = 6379, redis_cluster_nodes: nodes = [] }: Conf, { targets }: CheckContext): string[] {
  const places = policy === 'redis' && host !== undefined ? [['redis_host', host, port] as const]
    : nodes.map((node, index) => [`redis_cluster_nodes[${index}]`, node.slice(0, node.lastIndexOf(':')), Number(node.slice(node.lastIndexOf(':') + 1))] as const);
  return places.flatMap(([at, place, number]) => {
    const refusal = targets.refusal(place, number);
    return refusal === null ? [] : [`${at}: ${refusal}`];
  });
}

function checkGroup(conf: Conf, context: CheckContext): string[] {
  // Without a group nobody has to collect the others.
  if (conf.group === undefined) return [];
  const mine = canonical(conf);
  const differs = (theirs: unknown): boolean =>
    isConf(theirs) && theirs.group === conf.group && canonical(theirs) !== mine;
  const other = context.others.find((each) => differs(each.conf));
  if (other === undefined) return [];
  return [`group conf mismatched: ${other.place} has the group ${conf.group} with other settings`];
}

function isConf(value: unknown): value is Conf {
  return typeof value === 'object' && value !== null;
}

const defaults = {
  window_type: 'fixed', key: 'remote_addr', key_type: 'var', policy: 'local', allow_degradation: false,
};

/** The same text for the same settings, whether defaults were filled in or not. `_meta` is not ours. */
function canonical(conf: Conf): string {
  const full = Object.entries({ ...defaults, ...conf }).filter(([name]) => name !== '_meta');
  return JSON.stringify(full.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Other settings are another count, an edit elsewhere is not; where the store is says nothing. */
function fingerprint(conf: Conf): string {
  const { count, time_window: length, window_type: type, key, key_type: keyType, policy } = conf;
  const text = JSON.stringify([count, length, type, key, keyType, policy]);
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

function compileKey({ key, key_type: type }: Conf): Variable {
  if (type === 'constant') return { read: () => key, afterAnswer: false };
  // `$remote_addr` is how people write a variable elsewhere.
  return type === 'var' ? findVariable(key.replace(/^\$/, '')) : compileTemplate(key);
}

const recentKeys = 8;

/** What both policies share: the key, the limit, the refusal and what is shown of it. */
class Limit {
  readonly count: number;
  /** Milliseconds. */
  readonly length: number;
  readonly sliding: boolean;
  readonly prefix: string;
  readonly #context: PluginContext;
  readonly #read: (request: Request) => string | number;
  readonly #policy: string;
  // One for all: it tells nothing of the request, and an error's stack costs more than the whole decision.
  readonly #refusal: ProxyError;
  readonly #allowed: Counter;
  readonly #rejected: Counter;
  readonly #left: Gauge;
  #lastKey: string | null = null;
  #lastId = '';
  readonly #recent: string[] = [];
  readonly #lefts: number[] = [];
  #next = 0;

  constructor(conf: Conf, context: PluginContext) {
    this.count = conf.count;
    this.length = conf.time_window * 1000;
    this.sliding = conf.window_type === 'sliding';
    this.#policy = conf.policy;
    this.#context = context;
    this.#read = compileKey(conf).read;
    this.#refusal = new ProxyError('LIMIT_EXCEEDED', conf.rejected_msg);
    const owner = conf.group === undefined ? `route:${context.routeId}` : `group:${conf.group}`;
    this.prefix = `limit-count:${owner}:${fingerprint(conf)}:`;
    this.#allowed = context.counter('limit_count_allowed_total', 'Requests that limit-count let through.');
    this.#rejected = context.counter('limit_count_rejected_total', 'Requests that limit-count refused.');
    this.#left = context.gauge('limit_count_left', 'What was left in the window of the last request.');
    // The least of all workers is shown: one that decided nothing must not say that nothing is left.
    this.#left.set(this.count);
  }

  /** Requests of one client come in bursts and read the same key text, so its id is made once. */
  idOf(request: Request): string {
    const read = this.#read(request);
    const key = read === '' ? request.session.remoteAddress : String(read);
    if (key !== this.#lastKey) {
      this.#lastKey = key;
      this.#lastId = this.prefix + key;
      this.#remember(key);
    }
    return this.#lastId;
  }

  takeLocal(request: Request): void {
    const { windows } = this.#context;
    const id = this.idOf(request);
    const now = this.#context.now();
    this.decided(request, this.sliding
      ? windows.takeSliding(id, this.count, this.length, now)
      : windows.takeFixed(id, this.count, this.length, now));
  }

  /** `left` as the window table says it: -1 is a refusal. */
  decided(request: Request, left: number): void {
    this.#left.set(left < 0 ? 0 : left);
    if (left >= 0) {
      this.#allowed.add(1);
      return;
    }
    this.#rejected.add(1);
    request.settle(this.#refusal);
  }

  /** What the store said of a key, for `status`. */
  note(key: string, left: number): void {
    const at = this.#recent.indexOf(key);
    if (at >= 0) this.#lefts[at] = left;
  }

  #remember(key: string): void {
    if (this.#recent.includes(key)) return;
    this.#recent[this.#next] = key;
    this.#lefts[this.#next] = this.count;
    this.#next = (this.#next + 1) % recentKeys;
  }

  status(): Record<string, unknown> {
    const now = this.#context.now();
    const left = this.#recent.map((key, i) => ({
      key: key.length > 64 ? `${key.slice(0, 64)}…` : key,
      left: this.#policy === 'local'
        ? this.#context.windows.left(this.prefix + key, this.count, this.length, now, this.sliding)
        : Math.max(0, this.#lefts[i]!),
    }));
    return { policy: this.#policy, count: this.count, time_window: this.length / 1000, recent: left };
  }
}

// After this many failures in a row the store is left alone for a second: waiting 50 ms each would be an outage
// of its own.
const failuresInRow = 3;
const restTime = 1000;

class RemoteLimit {
  readonly #limit: Limit;
  readonly #context: PluginContext;
  readonly #store: RemoteStore;
  readonly #allowDegradation: boolean;
  readonly #failures: Counter;
  readonly #up: Gauge;
  #failed = 0;
  #askAgainAt = 0;

  constructor(limit: Limit, conf: Conf, context: PluginContext) {
    this.#limit = limit;
    this.#context = context;
    this.#allowDegradation = conf.allow_degradation;
    this.#store = new RemoteStore(remoteConf(conf), context);
    this.#failures = context.counter('limit_count_store_failures_total', 'Decisions without the counter store.');
    this.#up = context.gauge('limit_count_store_up', '1 when the counter store answered last time, else 0.');
    this.#up.set(1);
  }

  take(request: Request): void | Promise<void> {
    const resting = this.#failed >= failuresInRow && this.#context.now() < this.#askAgainAt;
    if (resting) return this.#decideAlone(request);
    return this.#ask(request, this.#limit.idOf(request));
  }

  async #ask(request: Request, id: string): Promise<void> {
    let left: number;
    try {
      left = await this.#store.take(id, this.#limit.count, this.#limit.length, this.#limit.sliding);
    } catch (cause) {
      this.#missed(cause);
      this.#decideAlone(request);
      return;
    }
    this.#answered();
    this.#limit.note(id.slice(this.#limit.prefix.length), left);
    this.#limit.decided(request, left);
  }

  #decideAlone(request: Request): void {
    this.#failures.add(1);
    if (!this.#allowDegradation) request.settle(new ProxyError('LIMIT_STORE_FAILED'));
  }

  #answered(): void {
    if (this.#failed === 0) return;
    this.#failed = 0;
    this.#up.set(1);
    this.#context.log.info({ route: this.#context.routeId }, 'limit-count: the counter store answers again');
  }

  #missed(cause: unknown): void {
    this.#askAgainAt = this.#context.now() + restTime;
    if (this.#failed++ > 0) return;
    this.#up.set(0);
    const degraded = this.#allowDegradation ? 'requests pass' : 'requests are refused';
    // The text only: errors of clients may carry the command that failed, and with it a password.
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#context.log.warn({ code: 'LIMIT_STORE_FAILED', route: this.#context.routeId, reason },
      `limit-count: no answer from the counter store, ${degraded}`);
  }

  status(): Record<string, unknown> {
    return { store_up: this.#failed === 0, allow_degradation: this.#allowDegradation };
  }

  close(): void {
    this.#store.close();
  }
}

function remoteConf(conf: Conf): RemoteConf {
  const cluster = conf.policy === 'redis-cluster';
  return {
    policy: cluster ? 'redis-cluster' : 'redis',
    nodes: cluster ? conf.redis_cluster_nodes! : [`${conf.redis_host!}:${conf.redis_port ?? 6379}`],
    database: cluster ? 0 : conf.redis_database ?? 0,
    ...(conf.redis_username === undefined ? {} : { username: conf.redis_username }),
    ...(conf.redis_password === undefined ? {} : { password: conf.redis_password }),
    tls: (cluster ? conf.redis_cluster_ssl : conf.redis_ssl) ?? false,
    verify: (cluster ? conf.redis_cluster_ssl_verify : conf.redis_ssl_verify) ?? true,
    timeout: Math.min(conf.redis_timeout ?? decisionTime, decisionTime),
  };
}
