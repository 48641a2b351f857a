// Commands that leave no trace on a connection.
import { brief, type Count } from '../support/oracle-kinds.ts';
import { RespError, type Value } from '../support/resp.ts';
import type { TortureClient } from './client.ts';
import { KeyModel, sizeOf, valueOf } from './keys.ts';
import { isOk, same, step, text, type Step } from './step.ts';

interface Counter { readonly key: string; readonly count: Count; next: number; sure: boolean; readonly database: number }

/** What a client remembers between scenes. */
export interface SceneMemory {
  readonly slots: KeyModel[];
  counter: Counter | null;
}

const SLOTS = 8;

export function memoryOf(_client: TortureClient): SceneMemory {
  return { slots: [], counter: null };
}

/** One of the client's keys. A key with an unknown state is given up. */
export function slotOf(client: TortureClient): KeyModel {
  const { slots } = client.memory;
  const index = client.dice.between(0, SLOTS - 1);
  const known = slots[index];
  if (known !== undefined && known.sure) return known;
  return (slots[index] = new KeyModel(client.name('k'), client.database));
}

export function setStep(client: TortureClient, slot: KeyModel, size = sizeOf(client.dice, client.world.largest)): Step {
  const value = valueOf(client.name(`${client.database}/${slot.key}`), size);
  return step(['SET', slot.key, value], (reply) => {
    if (!isOk(reply)) return false;
    slot.current = value;
    return true;
  }, { expected: 'OK', failed: () => slot.unknown(value) });
}

export function getStep(client: TortureClient, slot: KeyModel): Step {
  // In another database there is no such key.
  const here = client.database === slot.database;
  const asked = step(['GET', slot.key], (reply) => (here ? slot.fits(reply) : reply === null));
  return { ...asked, get expected() { return here ? slot.shown : 'null (other database)'; } };
}

export function getOrSet(client: TortureClient): Step[] {
  const slot = slotOf(client);
  if (client.database !== slot.database || client.dice.chance(0.6)) return [getStep(client, slot)];
  if (client.dice.chance(0.05)) {
    return [step(['DEL', slot.key], (reply) => {
      const fits = slot.sure ? reply === (slot.current === null ? 0 : 1) : reply === 0 || reply === 1;
      if (fits) slot.current = null;
      return fits;
    }, { expected: '0 or 1, as the key is there', failed: () => slot.unknown(null) })];
  }
  return [setStep(client, slot)];
}

export function echo(client: TortureClient): Step[] {
  const value = valueOf(client.name('e'), Math.max(40, sizeOf(client.dice, client.world.largest)));
  return [step(['ECHO', value], (reply) => same(reply, value), { expected: brief(value) })];
}

export function inline(client: TortureClient): Step[] {
  const word = client.name('i');
  return [step(['ECHO', word], (reply) => text(reply) === word, { expected: word, bytes: Buffer.from(`ECHO ${word}\r\n`) })];
}

export function incr(client: TortureClient): Step[] {
  const { memory, world } = client;
  if (memory.counter === null || !memory.counter.sure || memory.counter.database !== client.database) {
    // Counters live in database 0, where they are read at the end.
    if (client.database !== 0) return echo(client);
    const key = client.name('c');
    memory.counter = { key, count: world.ledger.attempt(key), next: 1, sure: true, database: client.database };
    memory.counter.count.attempts = 0;
  }
  const { counter } = memory;
  counter.count.attempts++;
  const attempt = counter.count.attempts;
  return [{
    ...step(['INCR', counter.key], (reply) => {
      const fits = counter.sure ? reply === counter.next : typeof reply === 'number' && reply <= attempt && reply > counter.count.acknowledged;
      if (!fits) return false;
      counter.next = (reply as number) + 1;
      counter.count.acknowledged++;
      return true;
    }, { failed: () => { counter.sure = false; } }),
    get expected() { return String(counter.next); },
  }];
}

export function mget(client: TortureClient): Step[] {
  const slots = Array.from({ length: client.dice.between(1, 6) }, () => slotOf(client));
  const { database } = client;
  return [step(['MGET', ...slots.map(({ key }) => key)], (reply) =>
    Array.isArray(reply) && reply.length === slots.length
      && slots.every((slot, i) => (slot.database === database ? slot.fits(reply[i] as Value) : reply[i] === null)),
  { expected: 'the values of its keys, in order' })];
}

/** Types whose replies differ between RESP2 and RESP3. */
export function collections(client: TortureClient): Step[] {
  const hash = client.name('h');
  const zset = client.name('z');
  const field = client.name('f');
  const value = valueOf(client.name('w'), client.dice.between(0, 200));
  const score = client.dice.between(1, 1000) / 4;
  const { resp } = client;
  let sure = true;
  const unsure = (): void => { sure = false; };
  return [
    step(['HSET', hash, field, value], (reply) => reply === 1, { expected: '1', failed: unsure }),
    step(['ZADD', zset, String(score), field], (reply) => reply === 1, { expected: '1', failed: unsure }),
    step(['HGETALL', hash], (reply) => {
      const pairs = reply instanceof Map ? [...reply].flat() : reply;
      if (!Array.isArray(pairs) || (resp === 3) !== (reply instanceof Map)) return false;
      if (pairs.length === 0) return !sure;
      return pairs.length === 2 && text(pairs[0]) === field && same(pairs[1] as Value, value);
    }, { expected: `{${field}: …} as RESP${resp} says it` }),
    step(['ZSCORE', zset, field], (reply) => (reply === null ? !sure
      : resp === 3 ? reply === score : Buffer.isBuffer(reply) && Number(reply.toString()) === score), { expected: String(score) }),
    step(['DEL', hash, zset], (reply) => reply === 2 || (!sure && (reply === 0 || reply === 1)), { expected: '2' }),
  ];
}

/** A plugin of the run may refuse these keys; its error names the key. */
export function denied(client: TortureClient): Step[] {
  const key = client.name('deny');
  return [step(['GET', key], (reply) => reply === null, { expected: `null, or an error about ${key}` })];
}

export function unknownCommand(client: TortureClient): Step[] {
  const name = client.name('nosuch').replaceAll(':', '');
  return [step([name, 'x'], (reply) => reply instanceof RespError && reply.text.includes(name.slice(0, 60)), { expected: `an error about ${name}` })];
}
