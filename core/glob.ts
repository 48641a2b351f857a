// Glob patterns over bytes, as Redis matches keys: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, and `\` before a byte
// that is meant itself.

/** Whether the bytes from `start` to `end` match; default: all. */
export type Glob = (bytes: Buffer, start?: number, end?: number) => boolean;

/** Compiled to one step per byte of the pattern. */
export function compileGlob(pattern: string): Glob {
  const steps = parse(Buffer.from(pattern));
  return (bytes, start = 0, end = bytes.length) => matches(steps, bytes, start, end);
}

const many = 'many';
/** One byte of a set of 256, or any number of bytes. */
type Step = Uint8Array | typeof many;

function parse(pattern: Buffer): Step[] {
  const steps: Step[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const byte = pattern[i]!;
    if (byte === 0x2a) {
      if (steps.at(-1) !== many) steps.push(many);
    } else if (byte === 0x3f) {
      steps.push(new Uint8Array(256).fill(1));
    } else if (byte === 0x5b) {
      const { set, end } = parseSet(pattern, i + 1);
      steps.push(set);
      i = end;
    } else {
      if (byte === 0x5c && i + 1 < pattern.length) i++;
      const set = new Uint8Array(256);
      set[pattern[i]!] = 1;
      steps.push(set);
    }
  }
  return steps;
}

/** `end` is where the `]` stands; without one the rest of the pattern is the set, as in Redis. */
function parseSet(pattern: Buffer, from: number): { set: Uint8Array; end: number } {
  const set = new Uint8Array(256);
  const inverted = pattern[from] === 0x5e;
  let i = inverted ? from + 1 : from;
  for (; i < pattern.length && pattern[i] !== 0x5d; i++) {
    if (pattern[i] === 0x5c && i + 1 < pattern.length) i++;
    const low = pattern[i]!;
    let high = low;
    if (pattern[i + 1] === 0x2d && i + 2 < pattern.length) {
      high = pattern[i + 2]!;
      i += 2;
    }
    for (let byte = Math.min(low, high); byte <= Math.max(low, high); byte++) set[byte] = 1;
  }
  if (inverted) for (let byte = 0; byte < 256; byte++) set[byte]! ^= 1;
  return { set, end: i };
}

// Going back only to the last `*` keeps it at pattern × text, whatever the pattern.
function matches(steps: readonly Step[], bytes: Buffer, start: number, end: number): boolean {
  let step = 0;
  let at = start;
  let retryStep = -1;
  let retryAt = 0;
  while (at < end) {
    const wanted = steps[step];
    if (wanted === many) {
      retryStep = ++step;
      retryAt = at;
    } else if (wanted !== undefined && wanted[bytes[at]!] === 1) {
      step++;
      at++;
    } else if (retryStep >= 0) {
      step = retryStep;
      at = ++retryAt;
    } else {
      return false;
    }
  }
  if (steps[step] === many) step++;
  return step === steps.length;
}
