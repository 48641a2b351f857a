// A command as one line of text for logs, as APISIX's redis_cmd_line, but without secrets and control
// characters.
import type { Argument } from './arguments.ts';
import { secretIndexes } from './secrets.ts';
import { type Command } from './table.ts';

export interface LineLimits {
  /** Longer arguments are cut to so many bytes, followed by `...(<n> bytes)`. */
  readonly argumentBytes: number;
  /** No further argument is begun on a longer line; ` ...(<n> more arguments)` says so. */
  readonly lineCharacters: number;
}

const usual: LineLimits = { argumentBytes: 128, lineCharacters: 4096 };
// C0 and C1 controls, and what some viewers take for the end of a line: a log line must not be forged.
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** The command in lower case and its arguments joined by spaces; secrets show as `(redacted)`. */
export function commandLine(
  command: Command, argumentCount: number, argument: Argument, limits: LineLimits = usual,
): string {
  if (argumentCount <= 0) return '';
  let line = shown(argument(0), limits.argumentBytes, (text) => text.toLowerCase());
  // Every argument takes one character at least (its space), so no more of them are looked at than can be
  // shown.
  const looked = Math.min(argumentCount, limits.lineCharacters + 1);
  const secrets = new Set(secretIndexes(command, looked, argument));
  for (let index = 1; index < argumentCount; index++) {
    const text = secrets.has(index) ? '(redacted)' : shown(argument(index), limits.argumentBytes);
    if (line.length + 1 + text.length > limits.lineCharacters) {
      return `${line} ...(${argumentCount - index} more arguments)`;
    }
    line += ` ${text}`;
  }
  return line;
}

function shown(argument: Buffer, limit: number, spell = (text: string): string => text): string {
  const text = argument.toString('utf8', 0, limit);
  const cut = argument.length > limit ? `...(${argument.length} bytes)` : '';
  return escaped(spell(text)) + cut;
}

function escaped(text: string): string {
  return text.replace(control, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0').toUpperCase()}`
      : `\\u${code.toString(16)}`;
  });
}
