// Answers requests with a reply that is written in the configuration, instead of the server's.
import { ProxyError } from '../core/errors.ts';
import { checkExpression, compileExpression } from '../core/expression.ts';
import { compileGlob, type Glob } from '../core/glob.ts';
import { definePlugin, type PluginContext } from '../core/plugin.ts';
import type { Reply, Request } from '../core/request.ts';
import { compileTemplate } from '../core/variables.ts';

interface RuleConf {
  readonly commands?: readonly string[];
  readonly keys?: readonly string[];
  readonly vars?: readonly (readonly unknown[])[];
  readonly percentage?: number;
  readonly delay?: number;
  readonly error?: string;
  readonly reply?: unknown;
}

interface Conf {
  readonly rules: readonly RuleConf[];
}

/** Seconds. */
const longestDelay = 3600;

export default definePlugin<Conf>({
  name: 'mocking',
  version: '1.0.0',
  priority: 10_900,
  schema: {
    type: 'object', additionalProperties: false, required: ['rules'],
    properties: {
      rules: {
        type: 'array', minItems: 1, maxItems: 1000, description: 'The first one that fits a request answers it.',
        items: {
          type: 'object', additionalProperties: false,
          properties: {
            commands: {
              type: 'array', minItems: 1, maxItems: 1000, items: { type: 'string', minLength: 1, maxLength: 128 },
              description: 'Operations that it is for, in any case; default all.',
            },
            keys: {
              type: 'array', minItems: 1, maxItems: 1000, items: { type: 'string', minLength: 1, maxLength: 1024 },
              description: 'Patterns (`user:*`, `?`, `[a-z]`) of which one must match a key of the request; default all.',
            },
            vars: {
              type: 'array', minItems: 1, maxItems: 20, items: { type: 'array' },
              description: 'Expressions over request variables; one that holds is enough.',
            },
            percentage: { type: 'number', minimum: 0, maximum: 100, description: 'How many of 100 fitting requests; default all.' },
            delay: { type: 'number', minimum: 0, maximum: longestDelay, description: 'Seconds before the answer.' },
            error: {
              type: 'string', minLength: 1, maxLength: 512,
              description: 'Answers with an error of this text, which may contain $variables; for every protocol.',
            },
            reply: { description: 'Answers with this value, where the protocol has replies that can be written as JSON.' },
          },
        },
      },
    },
  },
  check: ({ rules }) => rules.flatMap((rule, i) => wrongRule(rule, `rules[${i}]`)),
  setup({ rules }, context) {
    const mocks = rules.map((rule, i) => new Mock(rule, `rules[${i}]`, context));
    const mocked = context.counter('mocking_answers_total', 'Requests that mocking answered.');
    return {
      request(request) {
        const mock = mocks.find((each) => each.fits(request));
        if (mock === undefined) return undefined;
        mocked.add();
        return mock.answer(request);
      },
      maxWait: Math.max(...rules.map(({ delay = 0 }) => delay)) * 1000 + 5000,
      transient: true,
      status: () => ({ answered: mocks.map(({ answered }) => answered) }),
    };
  },
});

function wrongRule(rule: RuleConf, path: string): string[] {
  const answers = ['error', 'reply'].filter((name) => Object.hasOwn(rule, name));
  return [
    ...(answers.length === 1 ? [] : [`${path}: expected one of error and reply, got ${answers.length === 0 ? 'neither' : 'both'}`]),
    ...(rule.vars ?? []).flatMap((each, i) => checkExpression(each, `${path}.vars[${i}]`)),
  ];
}

class Mock {
  readonly #commands: ReadonlySet<string> | null;
  readonly #keys: readonly Glob[] | null;
  readonly #vars: readonly ((request: Request) => boolean)[] | null;
  readonly #percentage: number;
  /** Milliseconds. */
  readonly #delay: number;
  readonly #outcome: (request: Request) => Reply | ProxyError;
  answered = 0;

  constructor(conf: RuleConf, path: string, context: PluginContext) {
    this.#commands = conf.commands === undefined ? null : new Set(conf.commands.map((name) => name.toLowerCase()));
    this.#keys = conf.keys?.map(compileGlob) ?? null;
    this.#vars = conf.vars?.map((each, i) => compileExpression(each, `${path}.vars[${i}]`)) ?? null;
    this.#percentage = conf.percentage ?? 100;
    this.#delay = (conf.delay ?? 0) * 1000;
    this.#outcome = conf.error === undefined ? replyOf(conf.reply, path, context) : errorOf(conf.error);
  }

  fits(request: Request): boolean {
    if (this.#commands !== null && !this.#commands.has(request.name)) return false;
    if (this.#keys !== null && !this.#keys.some((glob) => request.someKey(glob))) return false;
    if (this.#vars !== null && !this.#vars.some((holds) => holds(request))) return false;
    return this.#percentage >= 100 || Math.random() * 100 < this.#percentage;
  }

  answer(request: Request): void | Promise<void> {
    this.answered++;
    if (this.#delay === 0) return request.settle(this.#outcome(request));
    return new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        forget();
        resolve();
      }, this.#delay);
      const forget = request.session.onClose(() => clearTimeout(timer));
    }).then(() => request.settle(this.#outcome(request)));
  }
}

function replyOf(value: unknown, path: string, context: PluginContext): (request: Request) => Reply {
  // Without requests there is nothing to answer.
  if (context.protocol === 'tcp' || context.protocol === 'udp') return () => { throw new ProxyError('INTERNAL'); };
  try {
    const reply = context.reply(value);
    return (request) => reply(request.session);
  } catch (cause) {
    throw new ProxyError('CONFIG_INVALID', `${path}.${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function errorOf(text: string): (request: Request) => ProxyError {
  const { read } = compileTemplate(text);
  return (request) => new ProxyError('FAULT_INJECTED', String(read(request)));
}
