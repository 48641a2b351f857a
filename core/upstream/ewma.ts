import { systemClock, type Clock } from '../clock.ts';
import type { Candidate, Choice, Usable } from './balancer.ts';
import { Latency } from './latency.ts';
import type { Node } from './node.ts';

/**
 * Of two nodes, drawn by weight, the one that answered faster of late. A node that has not answered yet is as good as
 * any. Two and not all: a crowd of clients would otherwise go from one node to the next together.
 */
export class Ewma implements Choice {
  readonly #candidates: readonly Candidate[];
  readonly #random: () => number;
  readonly #clock: Clock;

  constructor(candidates: readonly Candidate[], random: () => number = Math.random, clock: Clock = systemClock) {
    this.#candidates = candidates;
    this.#random = random;
    this.#clock = clock;
    // From now on the node's links say how long answers take.
    for (const { node } of candidates) node.latency ??= new Latency();
  }

  choose(_key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null {
    const first = this.#draw(tried, usable, null);
    if (first === null) return null;
    const second = this.#draw(tried, usable, first);
    return second !== null && this.#faster(second, first) ? second : first;
  }

  #faster(one: Node, other: Node): boolean {
    if (!one.latency!.known || !other.latency!.known) return false;
    const now = this.#clock.now();
    return one.latency!.read(now) < other.latency!.read(now);
  }

  /** By weight, among those that are usable and not `except`. */
  #draw(tried: readonly Node[], usable: Usable, except: Node | null): Node | null {
    let total = 0;
    for (const { node, weight } of this.#candidates) if (node !== except && usable(node, tried)) total += weight;
    let left = this.#random() * total;
    let last: Node | null = null;
    for (const { node, weight } of this.#candidates) {
      if (node === except || !usable(node, tried)) continue;
      last = node;
      left -= weight;
      if (left < 0) break;
    }
    return last;
  }
}
