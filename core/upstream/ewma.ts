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
  readonly #clock: Clock;
  #dice: number;

  constructor(candidates: readonly Candidate[], random: () => number = Math.random, clock: Clock = systemClock) {
    this.#candidates = candidates;
    this.#dice = 1 + Math.floor(random() * 0x7ffffffe);
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

  /** xorshift32, without its sign. Math.random() would be an object on the heap each time. */
  #throw(): number {
    let x = this.#dice;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#dice = x;
    return x & 0x7fffffff;
  }

  #faster(one: Node, other: Node): boolean {
    if (!one.latency!.known || !other.latency!.known) return false;
    const now = this.#clock.now();
    return one.latency!.read(now) < other.latency!.read(now);
  }

  /** By weight, among those that are usable and not `except`. Plain loops: nothing is allocated for a pick. */
  #draw(tried: readonly Node[], usable: Usable, except: Node | null): Node | null {
    const list = this.#candidates;
    let total = 0;
    for (let i = 0; i < list.length; i++) {
      const { node, weight } = list[i]!;
      if (node !== except && usable(node, tried)) total += weight;
    }
    if (total === 0) return null;
    let left = this.#throw() % total;
    for (let i = 0; i < list.length; i++) {
      const { node, weight } = list[i]!;
      if (node === except || !usable(node, tried)) continue;
      left -= weight;
      if (left < 0) return node;
    }
    return null;
  }
}
