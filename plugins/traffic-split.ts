// Sends connections to one of several upstreams, by rules and weights. A connection stays with the upstream that was
// chosen for it.
import { connectionRequest } from '../core/connection-request.ts';
import { checkUpstream } from '../core/config/check.ts';
import { upstreamSchema } from '../core/config/schemas/upstream.ts';
import { checkExpression, compileExpression } from '../core/expression.ts';
import { definePlugin, type PluginContext, type Targets, type UpstreamChoice } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import type { Session } from '../core/session.ts';
import { wheelOf } from './traffic-split/wheel.ts';

interface Conf {
  readonly rules: readonly RuleConf[];
}

interface RuleConf {
  readonly match?: readonly { readonly vars?: readonly unknown[] }[];
  readonly weighted_upstreams?: readonly Weighted[];
}

interface Weighted {
  readonly upstream_id?: string | number;
  readonly upstream?: object;
  readonly weight?: number;
}

export default definePlugin<Conf>({
  name: 'traffic-split',
  version: '1.0.0',
  priority: 966,
  schema: {
    type: 'object', additionalProperties: false, required: ['rules'],
    properties: {
      rules: {
        type: 'array', minItems: 1, maxItems: 100, description: 'The first rule that fits a connection decides; none: the route\'s own upstream.',
        items: {
          type: 'object', additionalProperties: false,
          properties: {
            match: {
              type: 'array', maxItems: 100, description: 'Conditions of which one must hold; absent or empty: always.',
              items: {
                type: 'object', additionalProperties: false,
                properties: { vars: { type: 'array', description: 'Expression over variables of the connection.' } },
              },
            },
            weighted_upstreams: {
              type: 'array', minItems: 1, maxItems: 20, description: 'Where to, in turn by weight; default: the route\'s own.',
              items: {
                type: 'object', additionalProperties: false,
                properties: {
                  upstream_id: {
                    description: 'Upstream resource.', 'x-expected': 'id of an upstream',
                    anyOf: [
                      { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$' },
                      { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
                    ],
                  },
                  upstream: { ...upstreamSchema, description: 'Upstream that is written here, as in a route. Neither of the two: the route\'s own.' },
                  weight: {
                    type: 'integer', minimum: 0, maximum: 10_000, default: 1,
                    description: 'Share of the connections; 0: none.',
                  },
                },
              },
            },
          },
        },
      },
    },
  },
  check: ({ rules }, { targets }) => rules.flatMap((rule, i) => wrongRule(rule, `rules[${i}]`, targets)),
  refers: (conf) => listIn(conf, 'rules').flatMap((rule) => listIn(rule, 'weighted_upstreams')).flatMap((each) => {
    const { upstream_id: id } = Object(each) as { upstream_id?: unknown };
    return typeof id === 'string' || typeof id === 'number' ? [{ kind: 'upstreams', id: String(id) } as const] : [];
  }),
  setup(conf, context) {
    const rules = conf.rules.map((rule, i) => new Rule(rule, i, context));
    return {
      connect(session) {
        const facts = connectionRequest(session, '', context.now());
        const rule = rules.find((each) => each.fits(facts));
        if (rule !== undefined) rule.send(session);
      },
      status: () => ({ chosen: rules.map((rule) => rule.chosen) }),
    };
  },
});

/** Of a configuration that nobody checked yet. */
function listIn(value: unknown, name: string): readonly unknown[] {
  const list = (Object(value) as Record<string, unknown>)[name];
  return Array.isArray(list) ? list : [];
}

function wrongRule({ match = [], weighted_upstreams: list = [] }: RuleConf, path: string, targets: Targets): string[] {
  const expressions = match.flatMap(({ vars = [] }, i) => (vars.length === 0 ? [] : checkExpression(vars, `${path}.match[${i}].vars`)));
  const upstreams = list.flatMap(({ upstream, upstream_id: id }, i) => {
    const at = `${path}.weighted_upstreams[${i}]`;
    if (upstream === undefined) return [];
    if (id !== undefined) return [`${at}: expected one of upstream and upstream_id, got both`];
    return checkUpstream(upstream, { refusal: (host, port) => targets.refusal(host, port) }).map(({ message }) => `${at}.upstream: ${message}`);
  });
  const idle = list.length > 0 && list.every(({ weight }) => weight === 0);
  return [...expressions, ...upstreams, ...(idle ? [`${path}.weighted_upstreams: expected a weight above 0, got none`] : [])];
}

// A count that nobody reaches: it numbers the turns, over all workers. The round begins anew once a day.
const turns = 2 ** 31 - 1;
const day = 86_400_000;

class Rule {
  readonly #context: PluginContext;
  readonly #tests: readonly ((request: Request) => boolean)[];
  /** Null: the route's own upstream. */
  readonly #choices: readonly (UpstreamChoice | null)[];
  readonly #wheel: Uint8Array;
  /** What is changed elsewhere does not begin the round anew. */
  readonly #id: string;
  readonly chosen: number[];
  #own = 0;

  constructor({ match = [], weighted_upstreams: list = [{}] }: RuleConf, index: number, context: PluginContext) {
    this.#context = context;
    const always = match.length === 0 || match.some(({ vars = [] }) => vars.length === 0);
    this.#tests = always ? [] : match.map(({ vars }) => compileExpression(vars, 'vars'));
    this.#choices = list.map((each, i) => choiceOf(each, `${index}.${i}`, context));
    const weights = list.map(({ weight = 1 }) => weight);
    this.#wheel = wheelOf(weights);
    this.#id = `traffic-split/${context.routeId}/${index}/${weights.join()}`;
    this.chosen = list.map(() => 0);
  }

  fits(connection: Request): boolean {
    return this.#tests.length === 0 || this.#tests.some((test) => test(connection));
  }

  send(session: Session): void {
    const at = this.#wheel[this.#turn() % this.#wheel.length]!;
    this.chosen[at]!++;
    session.useUpstream(this.#choices[at]!);
  }

  #turn(): number {
    const left = this.#context.windows.takeFixed(this.#id, turns, day, this.#context.now());
    // Without room in the shared memory each worker counts its own.
    return left < 0 ? this.#own++ : turns - left - 1;
  }
}

/** Named by what it is: after a change of the weights a connection finds its upstream again. */
function choiceOf({ upstream_id: id, upstream }: Weighted, place: string, context: PluginContext): UpstreamChoice | null {
  if (id !== undefined) return context.upstream(`upstreams/${id}`, String(id));
  return upstream === undefined ? null : context.upstream(`rule ${place}`, upstream);
}
