// Which node next. A balancer is built from a list of candidates and only reads node.available and
// node.inflight; changed nodes mean a new balancer over the same Node objects.
import { ProxyError } from '../errors.ts';
import { Ewma } from './ewma.ts';
import { Ketama } from './ketama.ts';
import type { KeyHashName } from './key-hash.ts';
import { LeastConn } from './least-conn.ts';
import type { Node } from './node.ts';
import { RoundRobin } from './round-robin.ts';

export interface Balancer {
  /**
   * The node for a request, or null when there is none (left). `key` null: any node will do. A retry is a
   * higher attempt and names the nodes of the earlier ones, none of which it gets again.
   */
  pick(key: Uint8Array | null, attempt: 0): Node | null;
  pick(key: Uint8Array | null, attempt: number, tried: readonly Node[]): Node | null;
}

export interface Candidate {
  readonly node: Node;
  /** Share of the traffic; 0: none. */
  readonly weight: number;
  /** A lower priority gets traffic only when all nodes of the higher ones are out or tried. */
  readonly priority: number;
}

export interface BalancerOptions {
  /** When all nodes are out: null (default), or pick as if none were. */
  readonly tryAllWhenDown?: boolean;
  /** A node was picked although it is out: all are. */
  readonly onAllDown?: () => void;
  /** How chash hashes the key; default `crc32`. */
  readonly hash?: KeyHashName;
  /** 0 ≤ random() < 1; where roundrobin begins, and what ewma draws. */
  readonly random?: () => number;
}

export type BalancerBuilder = (candidates: readonly Candidate[], options: BalancerOptions) => Balancer;

/** A choice among candidates of one priority. */
export interface Choice {
  choose(key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null;
}
export type Usable = (node: Node, tried: readonly Node[]) => boolean;

const roundRobin: BalancerBuilder = (candidates, options) =>
  new Tiers(candidates, options, (tier) => new RoundRobin(tier, options.random));

/** Configuration's `type` → how that balancer is built. */
export const balancers: Readonly<Record<string, BalancerBuilder>> = {
  roundrobin: roundRobin,
  // Accepted because the reference's own example uses it.
  none: roundRobin,
  chash: (candidates, options) => new Tiers(candidates, options, (tier) => new Ketama(tier, options.hash)),
  least_conn: (candidates, options) => new Tiers(candidates, options, (tier) => new LeastConn(tier)),
  ewma: (candidates, options) => new Tiers(candidates, options, (tier) => new Ewma(tier, options.random)),
};

/** Throws CONFIG_INVALID for an unknown type. */
export function buildBalancer(
  type: string,
  candidates: readonly Candidate[],
  options: BalancerOptions = {},
): Balancer {
  const build = Object.hasOwn(balancers, type) ? balancers[type] : undefined;
  if (build === undefined) {
    const known = Object.keys(balancers).toSorted().join(', ');
    throw new ProxyError('CONFIG_INVALID', `type: expected one of ${known}, got ${JSON.stringify(type)}`);
  }
  return build(candidates, options);
}

const nobody: readonly Node[] = Object.freeze([]);

class Tiers implements Balancer {
  readonly #tiers: readonly Choice[];
  readonly #tryAll: boolean;
  readonly #onAllDown: (() => void) | undefined;

  constructor(
    candidates: readonly Candidate[],
    options: BalancerOptions,
    build: (tier: readonly Candidate[]) => Choice,
  ) {
    const used = candidates.filter(({ weight }) => weight > 0);
    const tiers = Map.groupBy(used, ({ priority }) => priority);
    this.#tiers = [...tiers].toSorted(([a], [b]) => b - a).map(([, tier]) => build(tier));
    this.#tryAll = options.tryAllWhenDown ?? false;
    this.#onAllDown = options.onAllDown;
  }

  pick(key: Uint8Array | null, attempt: number, tried: readonly Node[] = nobody): Node | null {
    const avoided = attempt === 0 ? nobody : tried;
    const node = this.#choose(key, avoided, available);
    if (node !== null || !this.#tryAll) return node;
    const anyhow = this.#choose(key, avoided, untried);
    // Those of a retry were left out because they were tried, not because they are out.
    if (anyhow !== null && attempt === 0) this.#onAllDown?.();
    return anyhow;
  }

  #choose(key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null {
    for (let tier = 0; tier < this.#tiers.length; tier++) {
      const node = this.#tiers[tier]!.choose(key, tried, usable);
      if (node !== null) return node;
    }
    return null;
  }
}

const available: Usable = (node, tried) => node.available && !tried.includes(node);
const untried: Usable = (node, tried) => !tried.includes(node);
