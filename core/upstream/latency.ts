/** In ms: what was seen this long ago counts a third of what is seen now. As the reference's. */
const FADE = 10_000;

/**
 * Moving average of the times that a node's answers took. Without new ones it fades towards 0, so that a node that was
 * slow once is tried again.
 */
export class Latency {
  #value = 0;
  #at = -Infinity;

  /** Whether anything was ever seen. */
  get known(): boolean {
    return this.#at !== -Infinity;
  }

  /** Both in ms; `now` never goes back. */
  observe(took: number, now: number): void {
    const kept = Math.exp((this.#at - now) / FADE);
    this.#value = this.#value * kept + took * (1 - kept);
    this.#at = now;
  }

  read(now: number): number {
    return this.known ? this.#value * Math.exp((this.#at - now) / FADE) : 0;
  }
}
