import { expect, test } from 'vitest';
import { defaultLimits } from '../../core/limits.ts';
import { ReplyWindow } from '../../core/reply-window.ts';

const kib = 1024;
const most = 64;

function window(): ReplyWindow {
  return new ReplyWindow({ ...defaultLimits, replyWindow: 512 * kib, pipelined: most });
}

function wide(): ReplyWindow {
  const made = window();
  for (let i = 0; i < 10; i++) made.took(1000, 100);
  expect(made.size).toBe(most);
  return made;
}

test('a client whose replies are not known may ask for few, and for four times as much when those were small', () => {
  const made = window();
  expect(made.size).toBe(4);
  made.took(40, 4);
  expect(made.size).toBe(16);
  made.took(160, 16);
  expect(made.size).toBe(64);
  made.took(640, 64);
  expect(made.size).toBe(most);
});

test('no window is larger than what may be pipelined', () => {
  expect(new ReplyWindow({ ...defaultLimits, pipelined: 2 }).size).toBe(2);
});

test.for([
  { reply: 8 * kib, size: 64 }, { reply: 16 * kib, size: 32 }, { reply: 100 * kib, size: 5 }, { reply: 512 * kib, size: 1 },
  { reply: 300 * kib, size: 1 }, { reply: 100_000 * kib, size: 1 },
])('replies of $reply bytes leave room for $size', ({ reply, size }) => {
  const made = wide();
  made.took(reply, 1);
  expect(made.size).toBe(size);
});

test('a reply is known to be large before its end came', () => {
  const made = wide();
  made.took(64 * kib, 0);
  expect(made.size).toBe(8);
  made.took(64 * kib, 0);
  expect(made.size).toBe(4);
  made.took(900 * kib, 0);
  expect(made.size).toBe(1);
});

test('a large reply among small ones counts with all that came in one piece', () => {
  const made = wide();
  made.took(640 * kib, 10);
  expect(made.size).toBe(8);
});

test('it opens again by what was seen to be small, three requests for each', () => {
  const made = wide();
  made.took(1024 * kib, 1);
  const sizes: number[] = [];
  for (let i = 0; i < 200; i++) {
    const before = made.size;
    made.took(5, 1);
    expect(made.size - before).toBeLessThanOrEqual(3);
    sizes.push(made.size);
  }
  expect(sizes[0]).toBe(1);
  expect(sizes.at(-1)).toBe(most);
});
