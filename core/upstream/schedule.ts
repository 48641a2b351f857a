/** Runs `run` once after `ms` milliseconds and returns how to call it off. Tests set the time themselves. */
export type Schedule = (ms: number, run: () => void) => () => void;

/** A timer that does not keep the process alive. */
export const unrefTimer: Schedule = (ms, run) => {
  const timer = setTimeout(run, ms);
  timer.unref();
  return () => clearTimeout(timer);
};
