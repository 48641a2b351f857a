// What the functions on a command's arguments share: how they are read.

/** The argument at an index below the argument count; index 0 is the command name. */
export type Argument = (index: number) => Buffer;

/** Whether the argument is `word`, letters in any case; `word` is lower case. */
export function isWord(argument: Buffer, word: string): boolean {
  return argument.length === word.length && argument.toString('latin1').toLowerCase() === word;
}
