// Options of SET and GETEX, and times of expiry as commands give them.
import { CommandError } from './command-error.ts';
import { INT64_MAX } from './integer.ts';
import type { Call } from './command.ts';

type Unit = 'ex' | 'px' | 'exat' | 'pxat';

export interface ExpiryOptions<Flag extends string> {
  readonly flags: Readonly<Record<Flag, boolean>>;
  /** Unix milliseconds; null when no time was given. Throws when it is no time: later than a syntax error. */
  expiresAt(): number | null;
}

/** Reads EX, PX, EXAT, PXAT and the allowed flags from argument `start` on. */
export function readExpiryOptions<Flag extends string>(
  call: Call, start: number, allowed: readonly Flag[],
): ExpiryOptions<Flag> {
  const flags: Partial<Record<string, boolean>> = Object.fromEntries(allowed.map((flag) => [flag, false]));
  let time: { readonly index: number; readonly unit: Unit } | null = null;
  for (let i = start; i < call.count; i++) {
    const option = call.word(i);
    const exclusive = option === 'keepttl' || option === 'persist';
    const timeless = flags['keepttl'] === true || flags['persist'] === true;
    if (isFlag(option, allowed) && !(exclusive && time !== null)) {
      flags[option] = true;
    } else if (isUnit(option) && time === null && i + 1 < call.count && !timeless) {
      time = { index: ++i, unit: option };
    } else {
      throw CommandError.syntax();
    }
  }
  if (flags['nx'] === true && flags['xx'] === true) throw CommandError.syntax();
  const found = time;
  // Every allowed flag was put in above.
  return {
    flags: flags as Record<Flag, boolean>,
    expiresAt: () => (found === null ? null : readTime(call, found.index, found.unit)),
  };
}

/** The time of SETEX and PSETEX, at a fixed place. */
readExpiryOptions.fixed = readTime;

function isFlag<Flag extends string>(option: string, allowed: readonly Flag[]): option is Flag {
  return allowed.some((flag) => flag === option);
}

function isUnit(option: string): option is Unit {
  return option === 'ex' || option === 'px' || option === 'exat' || option === 'pxat';
}

function readTime(call: Call, index: number, unit: Unit): number {
  const given = call.int64(index);
  const seconds = unit === 'ex' || unit === 'exat';
  const relative = unit === 'ex' || unit === 'px';
  if (given <= 0n || (seconds && given > INT64_MAX / 1000n)) throw invalidExpireTime(call);
  const milliseconds = seconds ? given * 1000n : given;
  const base = relative ? BigInt(call.engine.now()) : 0n;
  if (milliseconds > INT64_MAX - base) throw invalidExpireTime(call);
  return Number(milliseconds + base);
}

export function invalidExpireTime(call: Call): CommandError {
  return new CommandError(`ERR invalid expire time in '${call.word(0)}' command`);
}
