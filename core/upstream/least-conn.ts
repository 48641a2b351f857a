import type { Candidate, Choice, Usable } from './balancer.ts';
import type { Node } from './node.ts';

/**
 * The node with the lowest (requests under way + 1) / weight. It counts requests, not connections: links are
 * shared. Among equals the search begins behind the last choice, otherwise an idle upstream would only use
 * its first node.
 */
export class LeastConn implements Choice {
  readonly #candidates: readonly Candidate[];
  #begin = 0;

  constructor(candidates: readonly Candidate[]) {
    this.#candidates = candidates;
  }

  choose(_key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null {
    const count = this.#candidates.length;
    let best: Candidate | null = null;
    let next = this.#begin;
    for (let step = 0; step < count; step++) {
      const index = (this.#begin + step) % count;
      const candidate = this.#candidates[index]!;
      if (!usable(candidate.node, tried)) continue;
      if (best !== null && !lessBusy(candidate, best)) continue;
      best = candidate;
      next = (index + 1) % count;
    }
    this.#begin = next;
    return best === null ? null : best.node;
  }
}

/** Multiplied instead of divided: no rounding, so equals stay equal. */
function lessBusy(one: Candidate, other: Candidate): boolean {
  return (one.node.inflight + 1) * other.weight < (other.node.inflight + 1) * one.weight;
}
