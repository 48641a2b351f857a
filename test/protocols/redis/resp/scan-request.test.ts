// G2a, G2b, P1, P6: what is framed of a client's bytes does not depend on how they come, and never on bytes behind them.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultLimits } from '../../../../core/limits.ts';
import { splitInline } from '../../../../protocols/redis/resp/inline.ts';
import {
  BROKEN, found, INCOMPLETE, resumeRequest, scanLimits, scanRequest,
} from '../../../../protocols/redis/resp/scan-request.ts';
import { cpuTime } from '../../../support/cpu-time.ts';
import { Dice } from '../../../support/dice.ts';
import { arrayRequest, badNumbers, cutAt, flawed, request } from './frames.ts';

const limits = scanLimits(defaultLimits, true);
const runs = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 3000);

/** Requests as [count, name, bytes], and how it ended; the way a session uses the scanner, with bytes that are kept. */
function frame(pieces: readonly Buffer[], resume: boolean): unknown[] {
  const events: unknown[] = [];
  let kept: Buffer = Buffer.alloc(0);
  let elements = 0;
  let at = 0;
  let count = 0;
  let name: [number, number] = [0, 0];
  for (const piece of pieces) {
    // Behind the end lies what another client sent: it must never be looked at.
    const whole = Buffer.concat([kept, piece, Buffer.from('\r\n$1\r\nx\r\n')]);
    const end = kept.length + piece.length;
    let from = 0;
    while (from < end) {
      let next: number;
      if (resume && elements > 0) {
        next = resumeRequest(whole, from, from + at, end, elements, count, limits);
        found.nameStart = from + name[0];
        found.nameEnd = from + name[1];
      } else {
        next = scanRequest(whole, from, end, limits);
      }
      if (next === INCOMPLETE) {
        if (found.needed > 0 && found.needed <= end - from) throw new Error(`needs ${found.needed} of ${end - from} bytes`);
        [elements, at, count, name] = [found.inline ? 0 : found.elements, found.resume - from, found.count,
          [found.nameStart - from, found.nameEnd - from]];
        break;
      }
      elements = 0;
      if (next === BROKEN) return [...events, found.problem];
      if (next <= from || next > end) throw new Error(`expected a position in ${from + 1}..${end}, got ${next}`);
      if (found.count > 0) {
        const words = found.inline ? String(splitInline(whole.subarray(found.nameStart, found.nameEnd))) : found.count;
        events.push([words, whole.toString('latin1', found.nameStart, found.nameEnd), whole.toString('latin1', from, next)]);
      }
      from = next;
    }
    kept = Buffer.from(whole.subarray(from, end));
  }
  return [...events, kept.length];
}

describe.each([['from the start', false], ['where it stopped', true]] as const)('scanned again %s', (_how, resume) => {
  test.each([
    ['well-formed', request],
    ['flawed', flawed(fc.array(request, { minLength: 1, maxLength: 3 }).map((all) => all.join('')))],
    ['random', fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('latin1'))],
  ])('%s bytes cut at every byte are framed the same', (_kind, bytes) => {
    fc.assert(fc.property(fc.array(bytes, { minLength: 1, maxLength: 3 }), (texts) => {
      const whole = Buffer.from(texts.join(''), 'latin1');
      const expected = frame([whole], resume);
      expect(frame([...whole].map((byte) => Buffer.from([byte])), resume)).toEqual(expected);
      const step = Math.max(1, Math.floor(whole.length / 24));
      for (let at = 1; at < whole.length; at += step) expect(frame(cutAt(whole, [at]), resume)).toEqual(expected);
    }), { numRuns: Math.ceil(runs / 6) });
  });

  test('two cuts at any places give the same', () => {
    fc.assert(fc.property(fc.oneof(arrayRequest, flawed(arrayRequest)), fc.nat(), fc.nat(), (text, a, b) => {
      const whole = Buffer.from(text, 'latin1');
      const places = [a % (whole.length + 1), b % (whole.length + 1)];
      expect(frame(cutAt(whole, places), resume)).toEqual(frame([whole], resume));
    }), { numRuns: runs });
  });
});

describe('lengths (P1)', () => {
  test('the table has 60 bad numbers', () => {
    expect(new Set(badNumbers).size).toBe(60);
  });

  test.each(badNumbers.map((text) => [text]))('%j is no count', (text) => {
    const bytes = Buffer.from(`*${text}\r\n$4\r\nPING\r\n`);
    expect(frame([bytes], true)).toEqual(['invalid multibulk length']);
  });

  test.each(badNumbers.map((text) => [text]))('%j is no length of a name or an argument', (text) => {
    expect(frame([Buffer.from(`*1\r\n$${text}\r\nPING\r\n`)], true)).toEqual(['invalid bulk length']);
    const second = [...Buffer.from(`*2\r\n$4\r\nPING\r\n$${text}\r\nx\r\n`)].map((byte) => Buffer.from([byte]));
    expect(frame(second, true)).toEqual(['invalid bulk length']);
  });
});

test('memory follows what was received, not what was announced (P4)', () => {
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 2000; i++) {
    expect(scanRequest(Buffer.from('*1048576\r\n$536870912\r\n'), 0, 23, limits)).toBe(INCOMPLETE);
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(20 * 1024 * 1024);
});

test('a request of many arguments in single bytes takes time that grows with its size (P6)', () => {
  const seconds = (size: number): number => {
    const bytes = Buffer.from(`*${size}\r\n${'$1\r\nx\r\n'.repeat(size)}`);
    const from = performance.now();
    let elements = 0;
    let at = 0;
    for (let end = 1; end <= bytes.length; end++) {
      const next = elements > 0 ? resumeRequest(bytes, 0, at, end, elements, size, limits) : scanRequest(bytes, 0, end, limits);
      if (next !== INCOMPLETE) expect([next, end]).toEqual([bytes.length, bytes.length]);
      [elements, at] = [found.elements, found.resume];
    }
    return performance.now() - from;
  };
  seconds(20_000);
  const small = Math.min(seconds(10_000), seconds(10_000), seconds(10_000));
  // Ten times the size: ten times the time, or a hundred times if it were quadratic.
  expect(Math.min(seconds(100_000), seconds(100_000), seconds(100_000)) / small).toBeLessThan(40);
});

test('200,000 random inputs crash nothing and take no time of note', () => {
  const dice = new Dice(7);
  const alphabet = '*$\r\n0123456789-+ "\'\\xabPING';
  const bytes = Buffer.alloc(48);
  const spent = cpuTime(() => {
    for (let i = 0; i < 200_000; i++) {
      for (let at = 0; at < bytes.length; at++) {
        bytes[at] = dice.chance(0.9) ? alphabet.charCodeAt(dice.between(0, alphabet.length - 1)) : dice.between(0, 255);
      }
      let at = 0;
      while (at < bytes.length) {
        const next = scanRequest(bytes, at, bytes.length, limits);
        if (next < 0) break;
        if (found.inline) splitInline(bytes.subarray(found.nameStart, found.nameEnd));
        at = next;
      }
    }
  });
  expect(spent).toBeLessThan(15_000);
});
