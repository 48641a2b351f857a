// A request body as JSON: strictly, without echoing any of it (it may hold secrets), with one meaning only.
import { forbiddenNames, problem, type At, type Problem } from '../core/schema.ts';
import { refusalOf, refuse } from './refusal.ts';

/** Throws a Refusal (400). Undefined: there is no body. */
export function parseBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  const text = decode(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(400, `invalid request body: ${why(error as Error, text)}`);
  }
  const duplicate = firstDuplicate(text);
  // A checker that reads the first of two and a server that reads the last would be two opinions of one body.
  if (duplicate !== null) {
    throw refuse(400, `invalid request body: duplicate key in an object, ${placeOf(text, duplicate)}`);
  }
  const refusal = refusalOf([...forbiddenNames(value), ...hugeNumbers(text, value)]);
  if (refusal !== null) throw refusal;
  return value;
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refuse(400, 'invalid request body: not valid UTF-8');
  }
}

// The engine's own text quotes the body, and has no position when it does.
function why({ message }: Error, text: string): string {
  if (/end of JSON|Unterminated/.test(message)) return 'not valid JSON, it ends too early';
  const at = /position (\d+)/.exec(message)?.[1];
  return at === undefined ? 'not valid JSON' : `not valid JSON, ${placeOf(text, Number(at))}`;
}

// Most bodies are one line.
function placeOf(text: string, offset: number): string {
  let [line, start] = [1, 0];
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) [line, start] = [line + 1, at + 1];
  return `line ${line}, column ${offset - start + 1}`;
}

// JSON has numbers that no program keeps: 1e400 would be infinite here, and `null` in the store.
const maybeHuge = /[eE]\+?\d{3}|\d{309}/;

function hugeNumbers(text: string, value: unknown): Problem[] {
  if (!maybeHuge.test(text)) return [];
  const found: Problem[] = [];
  const look = (each: unknown, here: At): void => {
    // Deeper ones are refused for that.
    if (here.length > 64) return;
    if (typeof each === 'number' && !Number.isFinite(each)) found.push(problem(here, 'a number up to 1.7e308', 'a larger one'));
    else if (typeof each === 'object' && each !== null) {
      for (const [name, child] of Object.entries(each)) look(child, [...here, Array.isArray(each) ? Number(name) : name]);
    }
  };
  look(value, []);
  return found.slice(0, 100);
}

/** Where a key stands a second time in its object; the text is known to be JSON. */
export function firstDuplicate(text: string): number | null {
  // Names so far of the objects around; null for an array.
  const stack: (Set<string> | null)[] = [];
  let nameNext = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (sign === '"') {
      const end = endOfString(text, at);
      const names = nameNext ? stack.at(-1) : null;
      const name = names == null ? '' : JSON.parse(text.slice(at, end + 1)) as string;
      if (names?.has(name) === true) return at;
      names?.add(name);
      nameNext = false;
      at = end;
    } else if (sign === '{' || sign === '[') {
      stack.push(sign === '{' ? new Set() : null);
      nameNext = sign === '{';
    } else if (sign === '}' || sign === ']') {
      stack.pop();
      nameNext = false;
    } else if (sign === ',') {
      nameNext = stack.at(-1) != null;
    }
  }
  return null;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at;
  }
}
