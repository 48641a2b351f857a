import type { Candidate, Choice, Usable } from './balancer.ts';
import type { Node } from './node.ts';

interface Turn {
  readonly node: Node;
  readonly weight: number;
  current: number;
}

/**
 * nginx's smooth weighted round robin: every usable node gains its weight, the one that has most is chosen
 * and pays the total. Weights 5, 1, 1 give a a b a c a a, never five a in a row. The begin is random: after a
 * reload, or in many workers, the first node would otherwise get more than its share.
 */
export class RoundRobin implements Choice {
  readonly #turns: readonly Turn[];

  constructor(candidates: readonly Candidate[], random: () => number = Math.random) {
    this.#turns = candidates.map(({ node, weight }) => ({ node, weight, current: 0 }));
    for (let skip = Math.floor(random() * candidates.length); skip > 0; skip--) this.choose(null, [], anyone);
  }

  choose(_key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null {
    let best: Turn | null = null;
    let total = 0;
    for (let i = 0; i < this.#turns.length; i++) {
      const turn = this.#turns[i]!;
      if (!usable(turn.node, tried)) continue;
      turn.current += turn.weight;
      total += turn.weight;
      if (best === null || turn.current > best.current) best = turn;
    }
    if (best === null) return null;
    best.current -= total;
    return best.node;
  }
}

const anyone: Usable = () => true;
