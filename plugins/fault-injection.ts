// Makes things go wrong on purpose: answers late, answers with an error, or cuts the connection.
import { createHash } from 'node:crypto';
import { ProxyError } from '../core/errors.ts';
import { compileExpression } from '../core/expression.ts';
import { compileGlob, type Glob } from '../core/glob.ts';
import { definePlugin, type PluginContext, type WindowTable } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import type { JsonSchema } from '../core/schema.ts';
import { compileTemplate } from '../core/variables.ts';
import { makeDice } from './fault-injection/dice.ts';

interface Chance {
  readonly percentage?: number;
  readonly vars?: readonly unknown[];
}

interface Abort extends Chance {
  readonly error?: string;
  readonly close?: boolean;
  readonly http_status?: number;
  readonly body?: string;
}

interface Delay extends Chance {
  readonly duration: number | { readonly min: number; readonly max: number };
}

interface Conf {
  readonly abort?: Abort;
  readonly delay?: Delay;
  readonly commands?: readonly string[];
  readonly keys?: readonly string[];
  readonly seed?: number;
  readonly start?: string;
  readonly end?: string;
  readonly for?: number;
  readonly hits?: number;
}

// An hour: more than any client waits, less than what a timer can.
const longestDelay = 3600;

const chanceProperties: Record<string, JsonSchema> = {
  percentage: {
    type: 'number', minimum: 0, maximum: 100,
    description: 'How many of 100 matching requests it hits; default all.',
  },
  vars: {
    type: 'array', minItems: 1, maxItems: 20, items: { type: 'array' },
    description: 'Expressions over request variables; one that holds is enough.',
  },
};

const seconds: JsonSchema = { type: 'number', minimum: 0, maximum: longestDelay };

const schema: JsonSchema = {
  type: 'object', additionalProperties: false,
  properties: {
    abort: {
      type: 'object', additionalProperties: false,
      description: 'Answers instead of the server. After the delay, if there is one.',
      properties: {
        error: {
          type: 'string', minLength: 1, maxLength: 1024,
          description: 'Text of the error; may contain $variables. Default: `fault injected`.',
        },
        close: {
          type: 'boolean', description: 'Closes the connection; without `error` nothing is answered before.',
        },
        http_status: {
          type: 'integer', minimum: 200, maximum: 599,
          description: 'Accepted for configurations written for HTTP; other doors send the text only.',
        },
        body: { type: 'string', maxLength: 1024, description: 'The same as `error`.' },
        ...chanceProperties,
      },
    },
    delay: {
      type: 'object', additionalProperties: false, required: ['duration'],
      description: 'Holds the request, and those of the same client behind it.',
      properties: {
        duration: {
          description: 'Seconds, or a range of which each request gets a random time.',
          'x-expected': `number of seconds 0..${longestDelay}, or {min, max}`,
          oneOf: [
            seconds,
            {
              type: 'object', required: ['min', 'max'], additionalProperties: false,
              properties: {
                min: { ...seconds, description: 'Shortest, in seconds.' },
                max: { ...seconds, description: 'Longest, in seconds.' },
              },
            },
          ],
        },
        ...chanceProperties,
      },
    },
    commands: {
      type: 'array', minItems: 1, maxItems: 1024, items: { type: 'string', minLength: 1, maxLength: 128 },
      description: 'Operations that it is for, in any case; default all.',
    },
    keys: {
      type: 'array', minItems: 1, maxItems: 256, items: { type: 'string', maxLength: 512 },
      description: 'Patterns (`user:*`, `?`, `[a-z]`) of which one must match a key of the request; default all.',
    },
    seed: {
      type: 'integer', minimum: -2147483648, maximum: 4294967295,
      description: 'Makes the random choices the same every time, in each worker.',
    },
    start: {
      type: 'string', maxLength: 40,
      description: 'Time (ISO 8601) from which on it is active; default at once.',
    },
    end: { type: 'string', maxLength: 40, description: 'Time (ISO 8601) at which it ends.' },
    for: {
      type: 'number', exclusiveMinimum: 0, maximum: 31_536_000,
      description: 'Seconds after `start`, or after it was configured, at which it ends.',
    },
    hits: {
      type: 'integer', minimum: 1, maximum: 2_147_483_647,
      description: 'How many requests it hits before it ends, counted over all workers.',
    },
  },
};

export default definePlugin<Conf>({
  name: 'fault-injection',
  version: '1.0.0',
  priority: 11_000,
  schema,
  check: checkConf,
  setup(conf, context) {
    const fault = new Fault(conf, context);
    return {
      request: (request) => fault.hit(request),
      transient: true,
      ...(conf.delay === undefined ? {} : { maxWait: range(conf.delay).max + 1000 }),
      status: () => fault.status(),
      close: () => fault.close(),
    };
  },
});

function checkConf(conf: Conf): string[] {
  const wrong: string[] = [];
  const { abort, delay } = conf;
  if (abort === undefined && delay === undefined) wrong.push('expected abort, delay or both, got neither');
  if (abort !== undefined) {
    const { error, body, close, http_status: status } = abort;
    if (error !== undefined && body !== undefined) wrong.push('abort: expected error or body, got both');
    if (error === undefined && body === undefined && status === undefined && close !== true) {
      wrong.push('abort: expected error or close: true');
    }
    wrong.push(...attempt('abort', () => compileTemplate(error ?? body ?? '')), ...checkVars('abort', abort));
  }
  if (delay !== undefined) {
    const { min, max } = range(delay);
    if (min > max) wrong.push(`delay.duration: expected min <= max, got ${min / 1000} > ${max / 1000}`);
    wrong.push(...checkVars('delay', delay));
  }
  for (const name of ['start', 'end'] as const) {
    const text = conf[name];
    if (text !== undefined && Number.isNaN(Date.parse(text))) {
      wrong.push(`${name}: expected a time such as 2030-01-31T12:00:00Z, got ${JSON.stringify(text)}`);
    }
  }
  if (conf.start !== undefined && conf.end !== undefined && Date.parse(conf.start) >= Date.parse(conf.end)) {
    wrong.push('end: expected a time after start');
  }
  return wrong;
}

function checkVars(at: string, chance: Chance): string[] {
  return (chance.vars ?? []).flatMap((rules, i) => attempt(`${at}.vars[${i}]`, (path) => {
    if (compileExpression(rules, path).requestTimeOnly) return;
    throw new ProxyError('CONFIG_INVALID', `${path}: expected variables that are known before the answer`);
  }));
}

function attempt(path: string, act: (path: string) => unknown): string[] {
  try {
    act(path);
    return [];
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    return [text.startsWith(path) ? text : `${path}: ${text}`];
  }
}

/** Milliseconds. */
function range({ duration }: Delay): { min: number; max: number } {
  if (typeof duration === 'number') return { min: duration * 1000, max: duration * 1000 };
  return { min: duration.min * 1000, max: duration.max * 1000 };
}

/** What one place does. */
class Fault {
  readonly #context: PluginContext;
  readonly #commands: ReadonlySet<string> | null;
  readonly #keys: Glob | null;
  readonly #abort: ((request: Request) => boolean) | null;
  readonly #delay: ((request: Request) => boolean) | null;
  readonly #error: (request: Request) => ProxyError;
  readonly #time: () => number;
  /** Monotonic ms between which it is active. */
  readonly #from: number;
  readonly #until: number;
  readonly #limit: number | null;
  readonly #id: string;
  readonly #counters: { readonly delays: { add(): void }; readonly aborts: { add(): void } };
  #delayed = 0;
  #aborted = 0;
  #spent = false;

  constructor(conf: Conf, context: PluginContext) {
    this.#context = context;
    const names = conf.commands?.map((name) => name.toLowerCase());
    this.#commands = names === undefined ? null : new Set(names);
    this.#keys = conf.keys === undefined ? null : anyOf(conf.keys.map(compileGlob));
    // Dice of their own, so that what one of them draws does not change the other's sequence.
    this.#abort = conf.abort === undefined ? null : compileChance(conf.abort, 'abort', makeDice(conf.seed));
    this.#delay = conf.delay === undefined ? null : compileChance(conf.delay, 'delay', makeDice(conf.seed));
    this.#error = compileError(conf.abort);
    this.#time = conf.delay === undefined ? () => 0 : compileTime(conf.delay, conf.seed);
    const [now, date] = [context.now(), Date.now()];
    this.#from = conf.start === undefined ? now : now + Date.parse(conf.start) - date;
    this.#until = Math.min(
      conf.end === undefined ? Infinity : now + Date.parse(conf.end) - date,
      conf.for === undefined ? Infinity : this.#from + conf.for * 1000);
    this.#limit = conf.hits ?? null;
    const fingerprint = createHash('sha256').update(JSON.stringify(conf)).digest('hex').slice(0, 16);
    this.#id = `fault-injection/${context.routeId}/${fingerprint}`;
    this.#counters = {
      delays: context.counter('fault_injection_delays_total', 'Requests delayed by fault-injection.'),
      aborts: context.counter('fault_injection_aborts_total', 'Requests that fault-injection answered.'),
    };
  }

  hit(request: Request): void | Promise<void> {
    if (this.#spent || !this.#concerns(request)) return undefined;
    const delays = this.#delay !== null && this.#delay(request);
    const aborts = this.#abort !== null && this.#abort(request);
    if ((!delays && !aborts) || !this.#spend()) return undefined;
    if (aborts) {
      this.#aborted++;
      this.#counters.aborts.add();
    }
    if (!delays) return request.settle(this.#error(request));
    this.#delayed++;
    this.#counters.delays.add();
    return aborts ? wait(this.#time()).then(() => request.settle(this.#error(request))) : wait(this.#time());
  }

  #concerns(request: Request): boolean {
    if (this.#commands !== null && !this.#commands.has(request.name)) return false;
    if (this.#keys !== null && !request.someKey(this.#keys)) return false;
    const now = this.#context.now();
    return now >= this.#from && now < this.#until;
  }

  /** One of the hits; false when there is none left. */
  #spend(): boolean {
    if (this.#limit === null) return true;
    const left = this.#context.windows.takeFixed(this.#id, this.#limit, forever, this.#context.now());
    if (left <= 0) this.#spent = true;
    return left >= 0;
  }

  status(): Record<string, unknown> {
    const now = this.#context.now();
    const left = this.#limit === null
      ? undefined : this.#context.windows.left(this.#id, this.#limit, forever, now, false);
    return {
      active: now >= this.#from && now < this.#until && left !== 0,
      delayed: this.#delayed,
      aborted: this.#aborted,
      ...(left === undefined ? {} : { hits_left: left }),
      ...(this.#until === Infinity ? {} : { ends_in: Math.max(0, (this.#until - now) / 1000) }),
    };
  }

  /** A fault that is configured again later begins with all its hits. */
  close(): void {
    const windows: WindowTable & { forget?(id: string): void } = this.#context.windows;
    if (this.#limit !== null) windows.forget?.(this.#id);
  }
}

// Hits do not come back with time. A hundred years in ms.
const forever = 3_155_760_000_000;

function anyOf(patterns: readonly Glob[]): Glob {
  const [first, ...others] = patterns;
  if (others.length === 0) return first!;
  return (bytes, start, end) => patterns.some((matches) => matches(bytes, start, end));
}

function compileChance(chance: Chance, at: string, dice: () => number): (request: Request) => boolean {
  const percentage = chance.percentage ?? 100;
  const rules = chance.vars?.map((each, i) => compileExpression(each, `${at}.vars[${i}]`));
  return (request) => {
    if (rules !== undefined && !rules.some((holds) => holds(request))) return false;
    return percentage >= 100 || dice() * 100 < percentage;
  };
}

function compileTime(delay: Delay, seed: number | undefined): () => number {
  const { min, max } = range(delay);
  // Another sequence than the one that chooses requests.
  const dice = makeDice(seed === undefined ? undefined : seed ^ 0x5bd1e995);
  return min === max ? () => min : () => min + dice() * (max - min);
}

function compileError(abort: Abort | undefined): (request: Request) => ProxyError {
  const options = { close: abort?.close ?? false };
  const text = abort?.error ?? abort?.body;
  // Without a text of its own a closing fault says nothing: the client sees the connection end.
  const shown = text ?? (options.close ? '' : 'fault injected');
  const { read } = compileTemplate(shown);
  if (!shown.includes('$')) {
    const error = new ProxyError('FAULT_INJECTED', shown, options);
    return () => error;
  }
  return (request) => new ProxyError('FAULT_INJECTED', String(read(request)), options);
}

/** Never shorter: a timer may fire a part of a millisecond early. */
function wait(milliseconds: number): Promise<void> {
  const until = performance.now() + milliseconds;
  return new Promise((resolve) => {
    const look = (): void => {
      const left = until - performance.now();
      if (left <= 0) resolve();
      else setTimeout(look, Math.ceil(left));
    };
    look();
  });
}
