// Subordinate routes: commands that another upstream answers, chosen by command and key.
import { compileGlob, type Glob } from '../../core/glob.ts';
import type { JsonSchema } from '../../core/schema.ts';
import type { RedisBackend } from './backend.ts';
import type { RedisRequest } from './request.ts';

export interface MatchConf {
  readonly commands?: readonly string[];
  readonly keys?: readonly string[];
}

export const matchSchema: JsonSchema = {
  type: 'object', additionalProperties: false, minProperties: 1,
  description: 'Of a subordinate route (`protocol.superior_id`): which commands go to its upstream. Without it, all that no other one takes.',
  properties: {
    commands: {
      type: 'array', minItems: 1, maxItems: 1000, items: { type: 'string', minLength: 1, maxLength: 64 },
      description: 'Commands, in any case.',
    },
    keys: {
      type: 'array', minItems: 1, maxItems: 256, items: { type: 'string', minLength: 1, maxLength: 512 },
      description: 'Patterns (`user:*`, `?`, `[a-z]`); every key of the command must match one of them.',
    },
  },
};

interface Rule {
  readonly backend: RedisBackend;
  readonly commands: ReadonlySet<string> | null;
  readonly keys: readonly Glob[] | null;
}

export class Subordinates {
  readonly #rules: readonly Rule[];

  constructor(list: readonly { readonly backend: RedisBackend; readonly match: MatchConf | undefined }[]) {
    const rules = list.map(({ backend, match }): Rule => ({
      backend,
      commands: match?.commands === undefined ? null : new Set(match.commands.map((name) => name.toLowerCase())),
      keys: match?.keys === undefined ? null : match.keys.map(compileGlob),
    }));
    // One that takes everything is asked last.
    const isOpen = ({ commands, keys }: Rule): boolean => commands === null && keys === null;
    this.#rules = [...rules.filter((rule) => !isOpen(rule)), ...rules.filter(isOpen)];
  }

  /** Where a request would go, and why the others are not it. `shared`: it may leave the superior at all. */
  explain(request: RedisRequest, shared: boolean): { readonly rule: Rule | null; readonly others: readonly { route: string; why: string }[] } {
    const why = new Map(this.#rules.map((rule) => [rule, shared ? mismatch(rule, request)
      : 'a command that needs a connection of its own, or none, stays with the superior route'] as const));
    const chosen = this.#rules.find((rule) => why.get(rule) === null) ?? null;
    return {
      rule: chosen,
      others: this.#rules.filter((rule) => rule !== chosen)
        .map((rule) => ({ route: rule.backend.route, why: why.get(rule) ?? `it fits, but ${chosen!.backend.route} comes first` })),
    };
  }

  /** Null: the superior's own upstream. */
  choose(request: RedisRequest): RedisBackend | null {
    for (const { backend, commands, keys } of this.#rules) {
      if (commands !== null && !commands.has(request.name)) continue;
      if (keys === null || allMatch(request, keys)) return backend;
    }
    return null;
  }
}

/** Null: it fits. */
function mismatch({ commands, keys }: Rule, request: RedisRequest): string | null {
  if (commands !== null && !commands.has(request.name)) return `match.commands: ${request.name} is not among them`;
  if (keys === null || allMatch(request, keys)) return null;
  return request.keyCount === 0 ? 'match.keys: the command has no key' : 'match.keys: a key of the command fits none of them';
}

/** A command without keys matches no pattern; one with keys on both sides stays where it is. */
function allMatch(request: RedisRequest, patterns: readonly Glob[]): boolean {
  const stray = (bytes: Buffer, start: number, end: number): boolean => !patterns.some((matches) => matches(bytes, start, end));
  return request.keyCount > 0 && !request.someKey(stray);
}
