// How many requests of one client may be under way where others share its link. Replies leave a link in the order of
// the requests: who asks for much at once makes everybody behind it wait for all of it. So what a client has under way
// is bounded by the bytes that will come for it, and what came for it lately says how many those are.
import type { Limits } from './limits.ts';

/** Requests of a client whose replies are not known yet. Hundreds that ask for much may come at the same time. */
const UNKNOWN = 4;
/** Requests more for each reply that was small: the first replies of a long pipeline are soon behind it. */
const GROWTH = 3;
/** One larger reply is believed at once, smaller ones when there were some: after so many, by half. */
const MEMORY = 8;

export class ReplyWindow {
  /** Requests that may be under way; never less than one. */
  size: number;
  readonly #bytes: number;
  readonly #most: number;
  /** Replies up to this size never make the window smaller than it can be. */
  readonly #small: number;
  /** Bytes expected of one reply. */
  #expected = 0;
  /** Bytes that came of a reply whose end did not. */
  #begun = 0;

  constructor(limits: Limits) {
    this.#bytes = limits.replyWindow;
    this.#most = limits.pipelined;
    this.#small = this.#bytes / this.#most;
    this.size = Math.min(UNKNOWN, this.#most);
  }

  /** Bytes came in which `complete` replies ended; what follows the last of them is counted with it. */
  took(bytes: number, complete: number): void {
    if (this.size === this.#most && this.#begun === 0 && bytes <= complete * this.#small) return;
    this.#begun += bytes;
    if (complete === 0) {
      if (this.#begun > this.#expected) this.#shrink(this.#begun);
      return;
    }
    const mean = this.#begun / complete;
    this.#begun = 0;
    if (mean >= this.#expected) this.#shrink(mean);
    else this.#expected += (mean - this.#expected) * complete / (complete + MEMORY);
    // It grows by what was seen to be small: a few small replies open no window through which a flood could come.
    this.size = Math.min(this.size + complete * GROWTH, this.#fitting);
  }

  #shrink(expected: number): void {
    this.#expected = expected;
    this.size = Math.min(this.size, this.#fitting);
  }

  get #fitting(): number {
    return Math.max(1, Math.min(this.#most, Math.floor(this.#bytes / this.#expected)));
  }
}
