// The consistent hash ring of libketama as nutcracker (twemproxy) builds it: both send a key to the same
// node.
//
//   md5("10.0.0.1:6379-0") = 16 bytes = four little-endian uint32 = four points; "-0" … "-39" make 160
//
// A key belongs to the first point at or above its hash; behind the last point the ring begins again.
import { hash as digest } from 'node:crypto';
import type { Candidate, Choice, Usable } from './balancer.ts';
import { keyHashes, type KeyHash, type KeyHashName } from './key-hash.ts';
import type { Node } from './node.ts';

const digestsPerNode = 40;
const pointsPerDigest = 4;
// A point and its node's index are sorted as one number: 32 + 20 bits are exact in a double.
const maxNodes = 2 ** 20;

export class Ketama implements Choice {
  readonly #nodes: readonly Node[];
  readonly #points: Uint32Array;
  readonly #owners: Uint32Array;
  readonly #hash: KeyHash;
  #anywhere = 0;

  constructor(candidates: readonly Candidate[], hash: KeyHashName = 'crc32') {
    this.#nodes = candidates.map(({ node }) => node);
    const ring = ringOf(candidates);
    this.#points = Uint32Array.from(ring, (entry) => Math.floor(entry / maxNodes));
    this.#owners = Uint32Array.from(ring, (entry) => entry % maxNodes);
    this.#hash = keyHashes[hash];
  }

  /** A node that can't be used is passed over for the next on the ring, so only its own keys move. */
  choose(key: Uint8Array | null, tried: readonly Node[], usable: Usable): Node | null {
    const size = this.#points.length;
    const begin = this.#find(key === null ? this.#next() : this.#hash(key));
    for (let step = 0; step < size; step++) {
      const at = begin + step;
      const node = this.#nodes[this.#owners[at < size ? at : at - size]!]!;
      if (usable(node, tried)) return node;
      // Before walking the whole ring, 160 points for each node, ask once whether it is worth it.
      if (step === 0 && !this.#anyUsable(tried, usable)) return null;
    }
    return null;
  }

  /** Index of the first point ≥ hash. */
  #find(hash: number): number {
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === this.#points.length ? 0 : low;
  }

  #anyUsable(tried: readonly Node[], usable: Usable): boolean {
    for (let i = 0; i < this.#nodes.length; i++) {
      if (usable(this.#nodes[i]!, tried)) return true;
    }
    return false;
  }

  /** Requests without a key go round the ring in steps of the golden ratio, which visit it evenly. */
  #next(): number {
    this.#anywhere = (this.#anywhere + 0x9e3779b9) >>> 0;
    return this.#anywhere;
  }
}

/** Sorted; each entry is point × maxNodes + index of the node. */
function ringOf(candidates: readonly Candidate[]): Float64Array {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  const entries: number[] = [];
  candidates.forEach(({ node, weight }, index) => {
    const digests = digestsFor(weight, total, candidates.length);
    for (let k = 0; k < digests; k++) {
      const bytes = digest('md5', `${node.address}-${k}`, 'buffer');
      for (let p = 0; p < pointsPerDigest; p++) entries.push(bytes.readUInt32LE(p * 4) * maxNodes + index);
    }
  });
  return Float64Array.from(entries).toSorted();
}

/**
 * nutcracker computes this in floats, and rounding down a slightly different product would cost four points.
 * Unlike nutcracker a node with a very small share keeps one digest: a weight above 0 means traffic.
 */
function digestsFor(weight: number, total: number, nodes: number): number {
  const share = Math.fround(Math.fround(weight) / Math.fround(total));
  const points = Math.fround(share * digestsPerNode * pointsPerDigest);
  const digests = Math.fround(Math.fround(points / pointsPerDigest) * nodes);
  return Math.max(1, Math.floor(Math.fround(digests + 1e-10)));
}
