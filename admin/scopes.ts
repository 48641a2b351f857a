// What a key may touch: kinds of resources, and of a kind perhaps only some ids.
import { compileGlob, type Glob } from '../core/glob.ts';
import type { Kind } from '../core/config/resource.ts';

/** The one scope that is no kind: `GET /metrics`. */
export const metricsScope = 'metrics';

interface Scope {
  readonly kind: string;
  /** Null: all of the kind. */
  readonly matches: Glob | null;
}

export class Scopes {
  readonly #scopes: readonly Scope[];
  /** As they were given, for texts. */
  readonly texts: readonly string[];

  /** `stream_routes`, `upstreams/cache-*`, `credentials/jack/*`; checked with the settings. */
  constructor(texts: readonly string[]) {
    this.texts = texts;
    this.#scopes = texts.map((text) => {
      const slash = text.indexOf('/');
      if (slash < 0) return { kind: text, matches: null };
      return { kind: text.slice(0, slash), matches: compileGlob(text.slice(slash + 1)) };
    });
  }

  /** Whether some resource of the kind is meant, which one ever. */
  touches(kind: Kind | typeof metricsScope): boolean {
    return this.#scopes.some((each) => each.kind === kind);
  }

  /** Whether every resource of the kind is meant, those to come too. */
  coversAll(kind: Kind): boolean {
    return this.#scopes.some((each) => each.kind === kind && each.matches === null);
  }

  covers(kind: Kind, id: string): boolean {
    const bytes = Buffer.from(id);
    return this.#scopes.some((each) => each.kind === kind && (each.matches === null || each.matches(bytes)));
  }
}
