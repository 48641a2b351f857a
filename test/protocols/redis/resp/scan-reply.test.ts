// G2a, G2b, P5, P6, P11: where replies end does not depend on how their bytes come.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BROKEN, DONE, MORE, ReplyScanner } from '../../../../protocols/redis/resp/scan-reply.ts';
import { cpuTime } from '../../../support/cpu-time.ts';
import { Dice } from '../../../support/dice.ts';
import { Decoder, RespSyntaxError } from '../../../support/resp.ts';
import { badNumbers, cutAt, flawed, push, reply } from './frames.ts';

const runs = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 3000);

/** Where messages end, with their types, and how it ended; the way a link uses the scanner. */
function frame(pieces: readonly Buffer[], nesting = 128): unknown[] {
  const scanner = new ReplyScanner(nesting);
  const events: unknown[] = [];
  let kept: Buffer = Buffer.alloc(0);
  let offset = 0;
  for (const piece of pieces) {
    // Behind the end lies an old read: it must never be looked at.
    const whole = Buffer.concat([kept, piece, Buffer.from('\r\n+OK\r\n')]);
    const end = kept.length + piece.length;
    let at = 0;
    while (at < end) {
      const next = scanner.scan(whole, at, end);
      if (scanner.outcome === BROKEN) return [...events, 'broken'];
      if (next < at || next > end) throw new Error(`expected a position in ${at}..${end}, got ${next}`);
      at = next;
      if (scanner.outcome === MORE) break;
      events.push([offset + at, scanner.type]);
    }
    kept = Buffer.from(whole.subarray(at, end));
    offset += at;
  }
  return [...events, kept.length > 0 || scanner.midMessage ? 'more' : 'end'];
}

const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
const single = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]));

test.each([
  ['well-formed replies', fc.oneof(reply, push)], ['flawed replies', flawed(reply)],
  ['random bytes', fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('latin1'))],
])('%s cut at every byte end at the same places', (_kind, bytes) => {
  fc.assert(fc.property(fc.array(bytes, { minLength: 1, maxLength: 3 }), (texts) => {
    const whole = bytesOf(texts.join(''));
    const expected = frame([whole]);
    expect(frame(single(whole))).toEqual(expected);
    const step = Math.max(1, Math.floor(whole.length / 24));
    for (let at = 1; at < whole.length; at += step) expect(frame(cutAt(whole, [at]))).toEqual(expected);
  }), { numRuns: Math.ceil(runs / 4) });
});

test('two cuts at any places give the same', () => {
  fc.assert(fc.property(fc.oneof(reply, flawed(reply)), fc.nat(), fc.nat(), (text, a, b) => {
    const whole = bytesOf(text);
    expect(frame(cutAt(whole, [a % (whole.length + 1), b % (whole.length + 1)]))).toEqual(frame([whole]));
  }), { numRuns: runs });
});

test('each well-formed reply ends where it ends, whatever comes behind it', () => {
  fc.assert(fc.property(fc.array(fc.oneof(reply, push), { minLength: 1, maxLength: 5 }), (texts) => {
    let at = 0;
    const ends = texts.map((text) => (at += text.length));
    const events = frame([bytesOf(texts.join(''))]) as [number, number][];
    expect(events.slice(0, -1).map(([end]) => end)).toEqual(ends);
    expect(events.at(-1)).toBe('end');
  }), { numRuns: runs });
});

test('what another decoder takes is framed alike (flawed replies)', () => {
  fc.assert(fc.property(flawed(reply), (text) => {
    // Redis 7.0 sends pushes inside of EXEC's reply: the scanner does not count them, the decoder does.
    fc.pre(!text.includes('>'));
    const decoder = new Decoder();
    const ends: number[] = [];
    let at = 0;
    try {
      decoder.push(bytesOf(text));
      while (decoder.next() !== undefined) ends.push((at += decoder.frame.length));
    } catch (error) {
      // It looks into numbers, booleans and maps, which a proxy passes on as they are.
      if (!(error instanceof RespSyntaxError)) throw error;
      return;
    }
    const events = frame([bytesOf(text)]);
    const seen = events.filter((event) => Array.isArray(event)).map((event) => (event as number[])[0]);
    // The scanner may refuse what the decoder waits for; up to there both agree.
    expect(seen).toEqual(events.at(-1) === 'broken' ? ends.slice(0, seen.length) : ends);
  }), { numRuns: runs });
});

test.each(['$00\r\n\r\n', '$03\r\nabc\r\n', '$00000000003\r\nabc\r\n'])('%j is refused in one piece as in many', (text) => {
  expect(frame([bytesOf(text)])).toEqual(['broken']);
  expect(frame(single(bytesOf(text)))).toEqual(['broken']);
});

describe('nesting (P5)', () => {
  test.each([1, 127, 128, 129])('of %i arrays', (depth) => {
    const whole = bytesOf(`${'*1\r\n'.repeat(depth)}:1\r\n`);
    const expected = depth <= 129 ? [[whole.length, 0x2a], 'end'] : ['broken'];
    expect(frame([whole])).toEqual(expected);
    expect(frame(single(whole))).toEqual(expected);
  });

  test.each([130, 5000, 1_000_000])('of %i arrays is refused at once', (depth) => {
    const bytes = bytesOf('*1\r\n'.repeat(depth));
    expect(cpuTime(() => expect(frame([bytes])).toEqual(['broken']))).toBeLessThan(500);
  });
});

describe('lengths (P1)', () => {
  test.each(badNumbers.filter((text) => text !== '?').map((text) => [text]))('%j is no length', (text) => {
    for (const type of ['$', '!', '=', '*', '~', '>', '%', '|', '$?\r\n;']) {
      expect(frame([Buffer.from(`${type}${text}\r\n+OK\r\n`)])).toEqual(['broken']);
    }
  });

  test.each(['$-2\r\n', '*-2\r\n', '%-1\r\n~', '$4\r\nPINGxx', '$4\r\nPING\r\r', '@x\r\n', '\0', '.\r\n', ';1\r\nx\r\n',
    '*1\r\n.\r\n', '$?\r\n$?\r\n', '+a\rb\r\n', '*?x\r\n', '*1\n:1\r\n'])('%j is garbage', (text) => {
    expect(frame([bytesOf(text)]).at(-1)).toBe('broken');
    expect(frame(single(bytesOf(text))).at(-1)).toBe('broken');
  });
});

test('a reply of 32 MiB in pieces of any size is passed on as it comes (P6)', () => {
  const milliseconds = (size: number, piece: number): number => {
    const scanner = new ReplyScanner(128);
    const bytes = Buffer.alloc(piece, 'x');
    const head = bytesOf(`$${size}\r\n`);
    const from = performance.now();
    scanner.scan(head, 0, head.length);
    let taken = 0;
    for (let sent = 0; sent < size; sent += piece) taken += scanner.scan(bytes, 0, piece);
    expect([taken, scanner.outcome]).toEqual([size, MORE]);
    scanner.scan(bytesOf('\r\n'), 0, 2);
    expect(scanner.outcome).toBe(DONE);
    return performance.now() - from;
  };
  milliseconds(32 * 1024 * 1024, 65_536);
  milliseconds(50_000, 1);
  const quickest = (size: number): number => Math.min(...[1, 2, 3, 4, 5].map(() => milliseconds(size, 1)));
  quickest(400_000);
  // Ten times the size: ten times the time, or a hundred times if it were quadratic.
  expect(quickest(4_000_000) / quickest(400_000)).toBeLessThan(40);
});

test('200,000 random inputs crash nothing and are judged', () => {
  const dice = new Dice(11);
  const alphabet = '*$\r\n0123456789-+:,#_(!=%~>|?;.tfabc';
  const bytes = Buffer.alloc(48);
  const outcomes = [0, 0, 0];
  for (let i = 0; i < 200_000; i++) {
    for (let at = 0; at < bytes.length; at++) {
      bytes[at] = dice.chance(0.95) ? alphabet.charCodeAt(dice.between(0, alphabet.length - 1)) : dice.between(0, 255);
    }
    const scanner = new ReplyScanner(128);
    for (let at = 0; at < bytes.length;) {
      at = scanner.scan(bytes, at, bytes.length);
      outcomes[scanner.outcome]!++;
      if (scanner.outcome !== DONE) break;
    }
  }
  expect(outcomes.every((count) => count > 50)).toBe(true);
});

test('confirmations inside the answer of EXEC count as their commands\' answers, other pushes as nothing, wherever it is cut', () => {
  const confirm = (...words: string[]): string => `>${words.length}\r\n${words.map((word) => (word.startsWith(':') ? `${word}\r\n` : `$${word.length}\r\n${word}\r\n`)).join('')}`;
  // PING, SUBSCRIBE a b, PUBLISH a hi, SUNSUBSCRIBE, ECHO x
  const reply = Buffer.from(`*5\r\n+PONG\r\n${confirm('subscribe', 'a', ':1')}${confirm('subscribe', 'b', ':2')}${confirm('message', 'a', 'hi')}:1\r\n`
    + `${confirm('sunsubscribe', 'c', ':0')}$1\r\nx\r\n`);
  for (let first = 0; first <= reply.length; first++) {
    for (const second of [first, Math.min(reply.length, first + 1), Math.min(reply.length, first + 7), reply.length]) {
      const scanner = new ReplyScanner(128);
      scanner.confirmations = [2, 1];
      let at = 0;
      for (const end of [first, second, reply.length]) if (end > at) at = scanner.scan(reply, at, end);
      expect([at, scanner.outcome, scanner.confirmations, first, second]).toEqual([reply.length, DONE, [], first, second]);
    }
  }
});
