// The command kinds the oracle draws from. Each knows its reply beforehand, from its own connection's history
// alone.
import type { Dice } from './dice.ts';
import { encodeCommand, Push, RespError, type Value } from './resp.ts';

/** One request: what goes out and what has to come back. */
export interface Question {
  readonly kind: string;
  readonly bytes: Buffer;
  /** The reply that is right, for the report. */
  readonly expected: string;
  right(reply: Value): boolean;
  /** An error came, or nothing: whether it was executed is unknown. */
  lost?(): void;
}

/** A connection's view; a new connection is a new one with keys of its own. */
export interface Asker {
  readonly id: string;
  readonly dice: Dice;
  readonly maxValue: number;
  nextSequence(): number;
}

export interface OracleKind {
  readonly name: string;
  readonly weight: number;
  /** Called once per connection; what it returns makes that connection's questions. */
  start(asker: Asker): () => Question;
}

/**
 * `GET` of long keys that name connection and sequence number; for upstreams that answer a key with
 * itself.
 */
export const echoKeys: OracleKind = {
  name: 'echo-keys', weight: 4,
  start: (asker) => () => {
    const key = filler(asker, Math.max(16, size(asker)), 'e');
    return question('echo-keys', ['GET', key], key);
  },
};

/** `ECHO` of the same; for any Redis. */
export const echo: OracleKind = {
  name: 'echo', weight: 1,
  start: (asker) => () => {
    const text = filler(asker, size(asker), 'm');
    return question('echo', ['ECHO', text], text);
  },
};

/**
 * `SET` and `GET` of the connection's own keys against what it wrote. A key with an unknown outcome is given up;
 * questions about it that are under way may find the new value or the old one.
 */
export const ownKeys: OracleKind = {
  name: 'own-keys', weight: 4,
  start: (asker) => {
    const fresh = (): OwnKey => ({ key: `o:${asker.id}:${asker.nextSequence()}`, asked: false, value: null, possible: [] });
    const slots = Array.from({ length: 8 }, fresh);
    return () => {
      const index = asker.dice.between(0, slots.length - 1);
      let slot = slots[index] as OwnKey;
      if (slot.possible.length > 0) slot = slots[index] = fresh();
      return slot.asked && asker.dice.chance(0.6) ? ownGet(slot) : ownSet(slot, filler(asker, size(asker), 'v'));
    };
  },
};

interface OwnKey {
  readonly key: string;
  asked: boolean;
  /** As of the last reply. */
  value: Buffer | null;
  /** Written without an answer: they may come true at any later time. */
  readonly possible: Buffer[];
}

function ownGet(slot: OwnKey): Question {
  const fits = (reply: Value, value: Buffer | null): boolean =>
    value === null ? reply === null : Buffer.isBuffer(reply) && reply.equals(value);
  return {
    kind: 'own-get', bytes: encodeCommand(['GET', slot.key]),
    get expected() { return brief(slot.value); },
    // An upstream that knows no value answers a key with itself.
    right: (reply) => fits(reply, slot.value) || slot.possible.some((value) => fits(reply, value))
      || (slot.value === null && slot.possible.length > 0 && fits(reply, Buffer.from(slot.key))),
  };
}

function ownSet(slot: OwnKey, value: Buffer): Question {
  slot.asked = true;
  const asked = question('own-set', ['SET', slot.key, value], 'OK');
  const right = (reply: Value): boolean => {
    if (!asked.right(reply)) return false;
    slot.value = value;
    return true;
  };
  return { ...asked, right, lost: () => { slot.possible.push(value); } };
}

/** `INCR` of the connection's own counters: each reply is one more than the last, unless one was lost before. */
export function counters(ledger: CounterLedger): OracleKind {
  return {
    name: 'counters', weight: 2,
    start: (asker) => {
      const fresh = (): Counting => ({ key: `c:${asker.id}:${asker.nextSequence()}`, next: 1, sure: true });
      let counting = fresh();
      return () => {
        if (!counting.sure) counting = fresh();
        const mine = counting;
        const count = ledger.attempt(mine.key);
        const attempt = count.attempts;
        const right = (reply: Value): boolean => {
          const fits = mine.sure ? reply === mine.next
            : typeof reply === 'number' && reply > count.acknowledged && reply <= attempt;
          if (!fits) return false;
          mine.next = (reply as number) + 1;
          count.acknowledged++;
          return true;
        };
        return {
          kind: 'incr', bytes: encodeCommand(['INCR', mine.key]), right, lost: () => { mine.sure = false; },
          get expected() { return String(mine.next); },
        };
      };
    },
  };
}

interface Counting { readonly key: string; next: number; sure: boolean }

export interface Count { attempts: number; acknowledged: number }

/**
 * All counters of a run; afterwards each must stand between its acknowledged and its attempted
 * increments.
 */
export class CounterLedger {
  readonly counts = new Map<string, Count>();

  attempt(key: string): Count {
    const count = this.counts.get(key) ?? { attempts: 0, acknowledged: 0 };
    count.attempts++;
    this.counts.set(key, count);
    return count;
  }
}

function question(kind: string, args: (string | Buffer)[], expected: string | Buffer): Question {
  const wanted = Buffer.isBuffer(expected) ? expected : Buffer.from(expected);
  const right = (reply: Value): boolean =>
    Buffer.isBuffer(reply) ? reply.equals(wanted) : typeof reply === 'string' && reply === wanted.toString();
  return { kind, bytes: encodeCommand(args), expected: brief(wanted), right };
}

/** Text for reports; long ones keep their begin and length. */
export function brief(value: Value): string {
  if (Buffer.isBuffer(value)) {
    const text = JSON.stringify(value.toString('latin1', 0, 80));
    return value.length > 80 ? `${text}… (${value.length} bytes)` : text;
  }
  if (value instanceof Push) return `push of ${value.items.map(brief).join(', ')}`;
  if (value instanceof RespError) return `error ${JSON.stringify(value.text)}`;
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value) ?? 'nothing';
}

// The sequence number comes first so that short values differ as well.
function filler(asker: Asker, bytes: number, mark: string): Buffer {
  return Buffer.alloc(bytes, `${asker.nextSequence().toString(36)}${mark}${asker.id};`);
}

// Mostly small, now and then huge: 85 % up to 128 bytes, 14 % up to 16 KiB, 1 % up to the maximum.
function size({ dice, maxValue }: Asker): number {
  const roll = dice.next();
  const top = roll < 0.85 ? 128 : roll < 0.99 ? 16_384 : maxValue;
  return dice.between(0, Math.min(top, maxValue));
}
