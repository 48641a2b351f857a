// Inline commands: words on a line, quoted as Redis' sdssplitargs reads them.

/** The words of a line, or null when its quotes do not balance. */
export function splitInline(line: Buffer): Buffer[] | null {
  const words: Buffer[] = [];
  let p = 0;
  while (p < line.length) {
    if (isSpace(line[p]!)) {
      p++;
      continue;
    }
    const word: number[] = [];
    p = readWord(line, p, word);
    if (p < 0) return null;
    words.push(Buffer.from(word));
  }
  return words;
}

/** Reads one word into `word`; answers where it ends, -1 for unbalanced quotes. */
function readWord(line: Buffer, at: number, word: number[]): number {
  let p = at;
  while (p < line.length && !endsWord(line[p]!)) {
    const c = line[p]!;
    if (c === 0x22 || c === 0x27) {
      p = c === 0x22 ? readDouble(line, p + 1, word) : readSingle(line, p + 1, word);
      // A closing quote must be followed by a space or nothing at all.
      if (p < 0 || (p < line.length && !isSpace(line[p]!))) return -1;
      return p;
    }
    word.push(c);
    p++;
  }
  return p;
}

function readDouble(line: Buffer, at: number, word: number[]): number {
  let p = at;
  while (p < line.length) {
    const c = line[p]!;
    if (c === 0x22) return p + 1;
    if (c === 0x5c && line[p + 1] === 0x78 && isHex(line[p + 2]) && isHex(line[p + 3])) {
      word.push(Number.parseInt(line.toString('latin1', p + 2, p + 4), 16));
      p += 4;
    } else if (c === 0x5c && p + 1 < line.length) {
      word.push(escapes[line[p + 1]!] ?? line[p + 1]!);
      p += 2;
    } else {
      word.push(c);
      p++;
    }
  }
  return -1;
}

function readSingle(line: Buffer, at: number, word: number[]): number {
  let p = at;
  while (p < line.length) {
    const c = line[p]!;
    if (c === 0x27) return p + 1;
    if (c === 0x5c && line[p + 1] === 0x27) p++;
    word.push(line[p]!);
    p++;
  }
  return -1;
}

/** n r t b a */
const escapes: Readonly<Record<number, number>> = { 0x6e: 10, 0x72: 13, 0x74: 9, 0x62: 8, 0x61: 7 };

function isSpace(c: number): boolean {
  return c === 32 || (c >= 9 && c <= 13);
}

/** As in sdssplitargs: vertical tab and form feed are skipped between words, but do not end one. */
function endsWord(c: number): boolean {
  return c === 32 || c === 9 || c === 10 || c === 13;
}

function isHex(c: number | undefined): boolean {
  return c !== undefined && ((c >= 48 && c <= 57) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102));
}
