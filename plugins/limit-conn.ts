// Lets so many connections in at a time, makes some more wait a moment, and refuses the rest.
import { connectionRequest } from '../core/connection-request.ts';
import { ProxyError } from '../core/errors.ts';
import { definePlugin, type Occupied, type PluginContext } from '../core/plugin.ts';
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
      rejected_msg: {
        type: 'string', minLength: 1, maxLength: 1024,
        description: 'Text of the error, where the protocol has one; default `too many connections`.',
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
    return {
      connect: (session) => limit.enter(session),
      maxWait: (longestDelay(conf) + 1) * 1000,
      status: () => limit.status(),
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
  #open = 0;

  constructor(conf: Conf, context: PluginContext) {
    this.#conf = conf;
    this.#context = context;
    this.#read = compileKey(conf).read;
    this.#prefix = `limit-conn/${context.routeId}/`;
    this.#refused = context.counter('limit_conn_refused_total', 'Connections that limit-conn refused.');
  }

  enter(session: Session): void | Promise<void> {
    const { conn, burst, rejected_msg: text } = this.#conf;
    const place = this.#context.occupancy.take(this.#idOf(session), conn + burst);
    if (place === null) {
      this.#refused.add();
      throw new ProxyError('DENIED', text ?? 'too many connections');
    }
    this.#open++;
    // However it ends, and whatever plan it has by then.
    session.onClose(() => this.#leave(place));
    return place.used > conn ? this.#wait(place.used) : undefined;
  }

  #leave(place: Occupied): void {
    this.#open--;
    this.#context.occupancy.give(place);
  }

  #wait(used: number): Promise<void> {
    const { conn, default_conn_delay: delay, only_use_default_delay: fixed } = this.#conf;
    const times = fixed ? 1 : Math.floor((used - 1) / conn);
    return new Promise((resolve) => setTimeout(resolve, delay * times * 1000));
  }

  #idOf(session: Session): string {
    const key = String(this.#read(connectionRequest(session, '', this.#context.now())));
    return this.#prefix + (key === '' ? session.remoteAddress : key);
  }

  status(): Record<string, unknown> {
    return { conn: this.#conf.conn, burst: this.#conf.burst, open_in_this_worker: this.#open };
  }
}
