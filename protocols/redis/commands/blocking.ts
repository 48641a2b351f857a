// Whether a call waits on the server, and for how long at most.
import { type Argument, isWord } from './arguments.ts';
import type { Command } from './table.ts';

/** Where the timeout stands (negative: from the end) and how many milliseconds its unit has. */
const timeouts = new Map<string, readonly [at: number, unit: number]>([
  ['blpop', [-1, 1000]], ['brpop', [-1, 1000]], ['bzpopmin', [-1, 1000]], ['bzpopmax', [-1, 1000]],
  ['brpoplpush', [3, 1000]], ['blmove', [5, 1000]], ['blmovem', [5, 1000]],
  ['blmpop', [1, 1000]], ['bzmpop', [1, 1000]],
  ['wait', [2, 1]], ['waitaof', [3, 1]],
]);

/** Whether this call may wait: all blocking commands do, XREAD, XREADGROUP and TS.READ only with BLOCK. */
export function blocks(command: Command, argumentCount: number, argument: Argument): boolean {
  if (command.treatment !== 'blocking') return false;
  return timeouts.has(command.name) || blockOption(command, argumentCount, argument) > 0;
}

/**
 * Milliseconds after which the server ends the wait: Infinity for ever, 0 when it does not wait or refuses
 * the value.
 */
export function blockingTimeout(command: Command, argumentCount: number, argument: Argument): number {
  if (command.treatment !== 'blocking') return 0;
  const [place, unit] = timeouts.get(command.name) ?? [blockOption(command, argumentCount, argument), 1];
  const at = place < 0 ? argumentCount + place : place;
  if (at <= 0 || at >= argumentCount) return 0;
  const text = argument(at);
  if (text.length === 0 || text.length > 32) return 0;
  const time = Number(text.toString('latin1')) * unit;
  if (!Number.isFinite(time) || time < 0) return 0;
  return time === 0 ? Infinity : time;
}

/** Index of the value of BLOCK, 0 without one. */
function blockOption(command: Command, argumentCount: number, argument: Argument): number {
  const first = command.name === 'ts.read' ? 3 : 1;
  for (let at = first; at + 1 < argumentCount; at++) {
    const option = argument(at);
    if (isWord(option, 'block')) return at + 1;
    if (isWord(option, 'streams')) return 0;
    if (isWord(option, 'group')) at += 2;
    else if (isWord(option, 'count')) at++;
  }
  return 0;
}
