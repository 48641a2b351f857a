// The monotonic clock, read once per event-loop turn on the hot path. Tests replace it.

/** Milliseconds that never go back. Not the time of day. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => performance.now() };
