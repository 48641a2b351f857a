// The quoting grammar of inline commands: Redis' sdssplitargs.

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };
const space = /[ \t\n\v\f\r]/;
const hexByte = /^[0-9a-fA-F]{2}$/;

/** Splits a line (latin1) into arguments; null when quotes are unbalanced or followed by more text. */
export function splitInline(text: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && space.test(text[at] ?? '')) at++;
    if (at === text.length) return words;
    const word = readWord(text, at);
    if (word === null) return null;
    words.push(word.value);
    at = word.end;
  }
}

interface Piece {
  readonly value: string;
  readonly end: number;
}

function readWord(text: string, start: number): Piece | null {
  let at = start;
  let value = '';
  while (at < text.length) {
    const char = text[at] ?? '';
    // A vertical tab or form feed separates words but does not end one: so does Redis.
    if (char === ' ' || char === '\n' || char === '\r' || char === '\t') break;
    if (char === '"' || char === "'") {
      const quoted = char === '"' ? readDouble(text, at + 1) : readSingle(text, at + 1);
      if (quoted === null) return null;
      value += quoted.value;
      at = quoted.end;
      break;
    }
    value += char;
    at++;
  }
  return { value, end: at };
}

function readDouble(text: string, start: number): Piece | null {
  let value = '';
  for (let at = start; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '"') return closing(text, at, value);
    if (char !== '\\' || at + 1 === text.length) {
      value += char;
      continue;
    }
    const hex = text.slice(at + 2, at + 4);
    const next = text[++at] ?? '';
    if (next === 'x' && hexByte.test(hex)) {
      value += String.fromCharCode(Number.parseInt(hex, 16));
      at += 2;
    } else {
      value += escapes[next] ?? next;
    }
  }
  return null;
}

function readSingle(text: string, start: number): Piece | null {
  let value = '';
  for (let at = start; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === "'") return closing(text, at, value);
    if (char === '\\' && text[at + 1] === "'") at++;
    value += text[at] ?? '';
  }
  return null;
}

/** A closing quote must be followed by a space or nothing. */
function closing(text: string, at: number, value: string): Piece | null {
  const next = text[at + 1];
  return next === undefined || space.test(next) ? { value, end: at + 1 } : null;
}
