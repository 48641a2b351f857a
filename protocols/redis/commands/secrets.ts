// Which arguments are secrets. When a call is malformed this hides too much rather than too little: the
// server refuses it, but its password was typed all the same.
import { type Argument, isWord } from './arguments.ts';
import { type Command, commands, lookup, UNKNOWN } from './table.ts';

/**
 * Names of settings whose value is a secret or a login: requirepass, masterauth, masteruser,
 * tls-key-file-pass …
 */
const secretSetting = /pass|auth|secret|token|masteruser|primaryuser|-user$/i;
/** ACL rules that carry a password or its hash: >password <password #hash !hash. */
const secretRule = /(^|\s)[><#!]/;
/** Longest text that is tried as the name of a setting. */
const settingLength = 128;

type Rule = (argumentCount: number, argument: Argument) => number[];

const rules = new Map<string, Rule>([
  ['auth', (count) => after(0, count, count)],
  ['hello', loginOptions],
  ['migrate', loginOptions],
  ['config', settingValues],
  ['module', settingValues],
  ['sentinel', settingValues],
  ['acl', accessRules],
  ['command', (count, argument) => nested(count, argument, 2)],
]);

/** Argument indexes that must not be shown, ascending. A container or its subcommand may be given. */
export function secretIndexes(command: Command, argumentCount: number,
  argument: Argument): readonly number[] {
  const bar = command.name.indexOf('|');
  const rule = rules.get(bar < 0 ? command.name : command.name.slice(0, bar));
  return rule === undefined ? [] : rule(argumentCount, argument);
}

/**
 * AUTH [user] password anywhere: both arguments behind every `AUTH` or `AUTH2`, since a name may be "auth" as
 * well.
 */
function loginOptions(argumentCount: number, argument: Argument): number[] {
  const found = new Set<number>();
  for (let at = 1; at < argumentCount; at++) {
    const option = argument(at);
    if (isWord(option, 'auth') || isWord(option, 'auth2')) {
      for (const secret of after(at, at + 3, argumentCount)) found.add(secret);
    }
  }
  return [...found];
}

/** The value behind every secret setting's name: CONFIG SET, MODULE LOADEX … CONFIG, SENTINEL SET. */
function settingValues(argumentCount: number, argument: Argument): number[] {
  const found: number[] = [];
  if (argumentCount < 3 || isWord(argument(1), 'get')) return found;
  for (let at = 2; at + 1 < argumentCount; at++) {
    const name = argument(at);
    if (name.length <= settingLength && secretSetting.test(name.toString('latin1'))) found.push(at + 1);
  }
  return found;
}

function accessRules(argumentCount: number, argument: Argument): number[] {
  if (argumentCount > 1 && isWord(argument(1), 'dryrun')) return nested(argumentCount, argument, 3);
  const found: number[] = [];
  for (let at = 2; at < argumentCount; at++) {
    if (secretRule.test(argument(at).toString('latin1'))) found.push(at);
  }
  return found;
}

/** A command given as arguments: ACL DRYRUN user command …, COMMAND GETKEYS command …. */
function nested(argumentCount: number, argument: Argument, start: number): number[] {
  if (start >= argumentCount) return [];
  const name = argument(start);
  const id = lookup(name, 0, name.length);
  if (id === UNKNOWN) return [];
  const inner = secretIndexes(commands[id]!, argumentCount - start, (index) => argument(start + index));
  return inner.map((index) => index + start);
}

/** The indexes behind `at`, below both ends. */
function after(at: number, end: number, argumentCount: number): number[] {
  const found: number[] = [];
  for (let index = at + 1; index < Math.min(end, argumentCount); index++) found.push(index);
  return found;
}
