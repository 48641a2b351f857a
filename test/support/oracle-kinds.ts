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
 * `SET` and `GET` of the connection's own keys against what it wrote. A key with an unknown outcome is
 * given up.
 */
export const ownKeys: OracleKind = {
  name: 'own-keys', weight: 4,
  start: (asker) => {
    const slots = Array.from({ length: 8 }, () => ({ key: '', value: null as Buffer | null }));
    const renew = (slot: { key: string; value: Buffer | null }): void => {
      slot.key = `o:${asker.id}:${asker.nextSequence()}`;
      slot.value = null;
    };
    slots.forEach(renew);
    return () => {
      const slot = asker.dice.of(slots);
      const { key } = slot;
      if (slot.value !== null && asker.dice.chance(0.6)) return question('own-get', ['GET', key], slot.value);
      const value = filler(asker, size(asker), 'v');
      slot.value = value;
      const lost = (): void => { if (slot.key === key) renew(slot); };
      return { ...question('own-set', ['SET', key, value], 'OK'), lost };
    };
  },
};

/** `INCR` of the connection's own counters: each reply is one more than the last. */
export function counters(ledger: CounterLedger): OracleKind {
  return {
    name: 'counters', weight: 2,
    start: (asker) => {
      let key = '';
      let next = 1;
      const renew = (): void => { key = `c:${asker.id}:${asker.nextSequence()}`; next = 1; };
      renew();
      return () => {
        const mine = key;
        const count = ledger.attempt(mine);
        const bytes = encodeCommand(['INCR', mine]);
        const expected = next++;
        const right = (reply: Value): boolean => {
          if (reply === expected) count.acknowledged++;
          return reply === expected;
        };
        return { kind: 'incr', bytes, expected: String(expected), right,
          lost: () => { if (key === mine) renew(); } };
      };
    },
  };
}

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
