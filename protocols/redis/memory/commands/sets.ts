import { CommandError } from '../command-error.ts';
import { command } from '../command.ts';
import { MemberSet } from '../member-set.ts';
import { readRange, sample } from '../sample.ts';
import type { Call, Command } from '../command.ts';

export const sets: readonly Command[] = [
  command('sadd', -3, 'write denyoom fast', [1, 1, 1], add),
  command('scard', 2, 'readonly fast', [1, 1, 1], (call) =>
    call.reply.integer(membersAt(call, 1)?.size ?? 0)),
  command('sdiff', -2, 'readonly', [1, -1, 1], (call) => replySet(call, difference(setsAt(call, 1)))),
  command('sdiffstore', -3, 'write denyoom', [1, -1, 1], (call) =>
    storeSet(call, difference(setsAt(call, 2)))),
  command('sinter', -2, 'readonly', [1, -1, 1], (call) => replySet(call, intersection(setsAt(call, 1)))),
  command('sintercard', -3, 'readonly movablekeys', [0, 0, 0], intersectionSize),
  command('sinterstore', -3, 'write denyoom', [1, -1, 1], (call) =>
    storeSet(call, intersection(setsAt(call, 2)))),
  command('sismember', 3, 'readonly fast', [1, 1, 1], (call) =>
    call.reply.integer(membersAt(call, 1)?.has(call.text(2)) === true ? 1 : 0)),
  command('smembers', 2, 'readonly', [1, 1, 1], (call) => replySet(call, [...membersAt(call, 1) ?? []])),
  command('smismember', -3, 'readonly fast', [1, 1, 1], areMembers),
  command('smove', 4, 'write fast', [1, 2, 1], move),
  command('spop', -2, 'write fast', [1, 1, 1], pop),
  command('srandmember', -2, 'readonly', [1, 1, 1], randomMember),
  command('srem', -3, 'write fast', [1, 1, 1], remove),
  command('sunion', -2, 'readonly', [1, -1, 1], (call) => replySet(call, union(setsAt(call, 1)))),
  command('sunionstore', -3, 'write denyoom', [1, -1, 1], (call) => storeSet(call, union(setsAt(call, 2)))),
];

type MaybeSet = MemberSet | undefined;

function membersAt(call: Call, index: number): MaybeSet {
  return call.db.read(call.text(index), 'set')?.members;
}

function setsAt(call: Call, start: number): MaybeSet[] {
  return call.texts(start).map((key) => call.db.read(key, 'set')?.members);
}

function add(call: Call): void {
  const key = call.text(1);
  const { members } = call.db.open(key, 'set');
  const added = call.texts(2).filter((member) => members.add(member)).length;
  if (added > 0) call.db.changed(key);
  call.reply.integer(added);
}

function remove(call: Call): void {
  const members = membersAt(call, 1);
  const removed = members === undefined ? 0 : call.texts(2).filter((member) => members.delete(member)).length;
  if (removed > 0) call.db.changed(call.text(1));
  call.reply.integer(removed);
}

function areMembers(call: Call): void {
  const members = membersAt(call, 1);
  call.reply.array(call.count - 2);
  for (const member of call.texts(2)) call.reply.integer(members?.has(member) === true ? 1 : 0);
}

function move(call: Call): void {
  const [from, to, member] = [call.text(1), call.text(2), call.text(3)];
  const source = call.db.read(from, 'set')?.members;
  if (source === undefined) return call.reply.integer(0);
  call.db.read(to, 'set');
  if (from === to || !source.has(member)) return call.reply.integer(source.has(member) ? 1 : 0);
  source.delete(member);
  call.db.changed(from);
  call.db.open(to, 'set').members.add(member);
  call.db.changed(to);
  call.reply.integer(1);
}

function pop(call: Call): void {
  if (call.count > 3) throw CommandError.syntax();
  const count = call.count === 3 ? call.ranged(2, 0, CommandError.notPositive().message) : null;
  const members = membersAt(call, 1);
  if (members === undefined) return count === null ? call.reply.nil() : replySet(call, []);
  const popped: string[] = [];
  const wanted = Math.min(count ?? 1, members.size);
  while (popped.length < wanted) {
    const member = members.random();
    if (member === undefined) break;
    members.delete(member);
    popped.push(member);
  }
  if (popped.length > 0) call.db.changed(call.text(1));
  if (count === null) call.reply.bulkOrNil(popped[0]);
  else replySet(call, popped);
}

function randomMember(call: Call): void {
  if (call.count > 3) throw CommandError.syntax();
  if (call.count === 2) return call.reply.bulkOrNil(membersAt(call, 1)?.random());
  const count = readRange(call, 2);
  call.reply.bulks(sample([...membersAt(call, 1) ?? []], count));
}

function replySet(call: Call, members: readonly string[]): void {
  call.reply.set(members.length);
  for (const member of members) call.reply.bulk(member);
}

function storeSet(call: Call, members: readonly string[]): void {
  const key = call.text(1);
  if (members.length === 0) call.db.delete(key);
  else call.db.store(key, { type: 'set', members: MemberSet.from(members) });
  call.reply.integer(members.length);
}

function union(sources: readonly MaybeSet[]): string[] {
  const found = new Set<string>();
  for (const source of sources) if (source !== undefined) for (const member of source) found.add(member);
  return [...found];
}

function difference([first, ...others]: readonly MaybeSet[]): string[] {
  return [...first ?? []].filter((member) => !others.some((other) => other?.has(member) === true));
}

function intersection(sources: readonly MaybeSet[], limit = Infinity): string[] {
  const present = sources.filter((source) => source !== undefined).sort((a, b) => a.size - b.size);
  const [smallest, ...others] = present;
  if (smallest === undefined || present.length < sources.length) return [];
  const found: string[] = [];
  for (const member of smallest) {
    if (found.length === limit) break;
    if (others.every((other) => other.has(member))) found.push(member);
  }
  return found;
}

function intersectionSize(call: Call): void {
  const number = call.ranged(1, 1, 'ERR numkeys should be greater than 0');
  if (number > call.count - 2) {
    throw new CommandError("ERR Number of keys can't be greater than number of args");
  }
  const limit = readLimit(call, 2 + number);
  const sources = call.texts(2, 2 + number).map((key) => call.db.read(key, 'set')?.members);
  call.reply.integer(intersection(sources, limit).length);
}

/** Reads `[LIMIT n]`; 0 means no limit. */
export function readLimit(call: Call, start: number): number {
  let limit = 0;
  for (let i = start; i < call.count; i += 2) {
    if (call.word(i) !== 'limit' || i + 1 >= call.count) throw CommandError.syntax();
    limit = call.ranged(i + 1, 0, "ERR LIMIT can't be negative");
  }
  return limit === 0 ? Infinity : limit;
}
