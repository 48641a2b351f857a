// A lock in shared memory for work of a microsecond. Who has it may be put aside by the system in between, and then it
// takes milliseconds: waiting is slept, not spun. A worker that died with it must not stop the others for good.

const spins = 1000;
/** Milliseconds of one sleep, and how many of them a holder is given: far more than a system puts anybody aside for. */
const nap = 1;
const mostNaps = 500;

/** `owner`: not 0, and nobody else's. */
export function lock(cells: Int32Array, at: number, owner: number): void {
  for (let spin = 0; spin < spins; spin++) if (Atomics.compareExchange(cells, at, 0, owner) === 0) return;
  for (let naps = 0, seen = 0; ;) {
    const holder = Atomics.compareExchange(cells, at, 0, owner);
    if (holder === 0) return;
    naps = holder === seen ? naps + 1 : 0;
    seen = holder;
    // Of all who wait for a dead one, one takes it.
    if (naps > mostNaps && Atomics.compareExchange(cells, at, holder, owner) === holder) return;
    Atomics.wait(cells, at, holder, nap);
  }
}

export function unlock(cells: Int32Array, at: number, owner: number): void {
  // Unless it was taken away, because it took so long.
  Atomics.compareExchange(cells, at, owner, 0);
}
