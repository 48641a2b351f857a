// Lets so many connections (or requests) in at a time, makes some more wait a moment, and refuses the rest.
import { connectionRequest } from '../core/connection-request.ts';
import { ProxyError } from '../core/errors.ts';
import { definePlugin, type Occupied, type PluginContext } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import type { Session } from '../core/session.ts';
import { compileTemplate, findVariable, type Variable } from '../core/variables.ts';

interface Conf {
  readonly conn: number;
  readonly burst: number;
  readonly default_conn_delay: number;
  readonly only_use_default_delay: boolean;
  readonly key: string;
  readonly key_type: 'var' | 'var_combination';
  readonly rejected_msg?: string;
  readonly per: 'connection' | 'request';
}

export default definePlugin<Conf>({
  name: 'limit-conn',
  version: '1.0.0',
  priority: 1003,
  schema: {
    type: 'object', additionalProperties: false, required: ['conn', 'burst', 'default_conn_delay', 'key'],
    properties: {
      conn: { type: 'integer', minimum: 1, maximum: 1_000_000, description: 'Connections that may be open at a time, for one key.' },
      burst: {
        type: 'integer', minimum: 0, maximum: 1_000_000,
        description: 'Connections beyond those that wait before they are served; more are refused.',
      },
      default_conn_delay: {
        type: 'number', exclusiveMinimum: 0, maximum: 60,
        description: 'Seconds that one waits, for each time that `conn` is exceeded.',
      },
      only_use_default_delay: {
        type: 'boolean', default: false, description: 'Waits that long however far `conn` is exceeded.',
      },
      key: {
        type: 'string', minLength: 1, maxLength: 1024,
        description: 'What is counted apart: a variable or a text with $variables; where it reads as empty, the client address.',
      },
      key_type: { type: 'string', enum: ['var', 'var_combination'], default: 'var', description: 'How `key` is read.' },
      per: {
        type: 'string', enum: ['connection', 'request'], default: 'connection',
        description: 'What is counted: open connections, or requests that were not answered yet.',
      },
      rejected_msg: {
        type: 'string', minLength: 1, maxLength: 1024,
        description: 'Text of the error, where the protocol has one; default `too many connections` or `too many requests at a time`.',
      },
      rejected_code: {
        type: 'integer', minimum: 200, maximum: 599,
        description: 'Accepted for configurations written for HTTP; has no effect on streams.',
      },
    },
  },
  check(conf) {
    try {
      compileKey(conf);
      return [];
    } catch (cause) {
      return [`key: ${cause instanceof Error ? cause.message : String(cause)}`];
    }
  },
  setup(conf, context) {
    const limit = new Limit(conf, context);
    const rest = { maxWait: (longestDelay(conf) + 1) * 1000, status: () => limit.status() };
    // Without a protocol there are no requests.
    if (conf.per === 'connection' || context.protocol === 'tcp' || context.protocol === 'udp') {
      return { connect: (session) => limit.enter(session), ...rest };
    }
    return {
      request: (request) => limit.begin(request),
      select: (request) => limit.has(request),
      log: (request) => limit.end(request),
      transient: true,
      ...rest,
    };
  },
});

function compileKey({ key, key_type: type }: Conf): Variable {
  return type === 'var' ? findVariable(key.replace(/^\$/, '')) : compileTemplate(key);
}

/** Seconds. */
function longestDelay({ conn, burst, default_conn_delay: delay, only_use_default_delay: fixed }: Conf): number {
  return fixed ? delay : delay * Math.ceil(burst / conn);
}

class Limit {
  readonly #conf: Conf;
  readonly #context: PluginContext;
  readonly #read: Variable['read'];
  readonly #prefix: string;
  readonly #refused: { add(): void };
  readonly #refusal: ProxyError;
  /** Of requests under way, by session: what is left when one ends is given back with it. */
  readonly #requests = new WeakMap<Session, Map<Request, Occupied>>();
  #open = 0;
  #saidAt = -Infinity;

  constructor(conf: Conf, context: PluginContext) {
    this.#conf = conf;
    this.#context = context;
    this.#read = compileKey(conf).read;
    this.#prefix = `limit-conn/${context.routeId}/${conf.per}/`;
    this.#refused = context.counter('limit_conn_refused_total', 'Connections and requests that limit-conn refused.');
    const text = conf.per === 'request' ? 'too many requests at a time' : 'too many connections';
    this.#refusal = new ProxyError('DENIED', conf.rejected_msg ?? text);
  }

  enter(session: Session): void | Promise<void> {
    const place = this.#take(connectionRequest(session, '', this.#context.now()));
    // However it ends, and whatever plan it has by then.
    session.onClose(() => this.#give(place));
    return this.#wait(place);
  }

  begin(request: Request): void | Promise<void> {
    const place = this.#take(request);
    this.#under(request.session).set(request, place);
    return this.#wait(place);
  }

  has(request: Request): boolean {
    return this.#requests.get(request.session)?.has(request) === true;
  }

  end(request: Request): void {
    const under = this.#requests.get(request.session);
    const place = under?.get(request);
    if (place === undefined) return;
    under!.delete(request);
    this.#give(place);
  }

  #under(session: Session): Map<Request, Occupied> {
    const known = this.#requests.get(session);
    if (known !== undefined) return known;
    const made = new Map<Request, Occupied>();
    this.#requests.set(session, made);
    session.onClose(() => {
      for (const place of made.values()) this.#give(place);
      made.clear();
    });
    return made;
  }

  /** Throws when there is none. */
  #take(request: Request): Occupied {
    const { conn, burst } = this.#conf;
    const place = this.#context.occupancy.take(this.#idOf(request), conn + burst);
    if (place === null) {
      this.#refused.add();
      throw this.#refusal;
    }
    this.#open++;
    return place;
  }

  #give(place: Occupied): void {
    this.#open--;
    this.#context.occupancy.give(place);
  }

  #wait({ used }: Occupied): void | Promise<void> {
    const { conn, default_conn_delay: delay, only_use_default_delay: fixed } = this.#conf;
    if (used <= conn) return undefined;
    const times = fixed ? 1 : Math.floor((used - 1) / conn);
    return new Promise((resolve) => { setTimeout(resolve, delay * times * 1000); });
  }

  #idOf(request: Request): string {
    const key = String(this.#read(request));
    if (key !== '') return this.#prefix + key;
    this.#sayEmpty();
    return this.#prefix + request.session.remoteAddress;
  }

  /** Once a minute at most. */
  #sayEmpty(): void {
    const now = this.#context.now();
    if (now - this.#saidAt < 60_000) return;
    this.#saidAt = now;
    this.#context.log.info({ key: this.#conf.key }, 'the key reads as empty: the client address is counted instead');
  }

  status(): Record<string, unknown> {
    return { conn: this.#conf.conn, burst: this.#conf.burst, open_in_this_worker: this.#open };
  }
}
