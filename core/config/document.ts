// A configuration text (YAML or JSON) as a value that remembers where everything stands.
import {
  isMap, isScalar, isSeq, LineCounter, parseDocument, visit,
  type Document, type Node, type YAMLError,
} from 'yaml';
import { cut, isUnknownProperty, problem, type At, type Problem } from '../problem.ts';
import { substitute, type Environment } from './environment.ts';
import { guard, unguard } from './flow-placeholder.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface ParsedDocument {
  readonly value: unknown;
  /**
   * Where the value of the problem, or the nearest one around it, stands; of an unknown property, its name.
   */
  locate(place: Pick<Problem, 'at' | 'text'>): Position;
  /** Variables without a value: the document is usable except for these places. */
  readonly problems: readonly Problem[];
}

/** A text that is not YAML or JSON at all, or not safely. */
export class Unreadable extends Error {
  readonly position: Position;

  constructor(message: string, position: Position = { line: 1, column: 1 }) {
    super(message);
    this.name = 'Unreadable';
    this.position = position;
  }
}

/** What the value asks for is not in the environment, which stays as it is until the process ends. */
export function isUnset({ expected }: Pick<Problem, 'expected'>): boolean {
  return expected === setVariable;
}
const setVariable = 'a set environment variable';

/** Larger texts are refused unread. */
export const largestDocument = 16 * 1024 * 1024;
// Enough for shared snippets; ten nested aliases of ten would be 10^10 nodes.
const mostAliases = 100;

/** Throws Unreadable. */
export function readDocument(
  text: string, format: 'yaml' | 'json', environment: Environment,
): ParsedDocument {
  if (text.length > largestDocument) {
    throw new Unreadable(`expected at most ${largestDocument} bytes, got ${text.length}`);
  }
  refuseDepth(text, format);
  return (format === 'json' ? readJson(text, environment) : null) ?? readWithPlaces(text, format, environment);
}

/**
 * The engine's own reader takes a hundredth of the time; where something stands is looked up when somebody asks. Null: that is
 * asked at once, because the text is wrong, has variables, or a name twice in one object.
 */
function readJson(text: string, environment: Environment): ParsedDocument | null {
  if (text.includes('${')) return null;
  try {
    const value = JSON.parse(text) as unknown;
    if (propertiesOf(value) !== colonsIn(text)) return null;
    let places: ParsedDocument | undefined;
    return { value, problems: [], locate: (place) => (places ??= readWithPlaces(text, 'json', environment)).locate(place) };
  } catch {
    return null;
  }
}

function propertiesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const values = Object.values(value);
  return values.reduce((sum: number, each) => sum + propertiesOf(each), Array.isArray(value) ? 0 : values.length);
}

function colonsIn(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at);
    if (sign === 0x22) at = endOfString(text, at);
    else if (sign === 0x3a) count++;
  }
  return count;
}

function readWithPlaces(text: string, format: 'yaml' | 'json', environment: Environment): ParsedDocument {
  const lines = new LineCounter();
  const guarded = format === 'yaml' ? guard(text) : text;
  const document = parse(guarded, lines);
  if (guarded !== text) visit(document, { Scalar: (_key, node) => unguard(node) });
  if (format === 'json') refuseBadJson(text, lines);
  else refuseBadYaml(document.errors, lines);
  refuseEqualKeys(document, lines, 'Map keys must be unique');
  const missing = replaceVariables(document, format, environment, lines);
  return {
    value: toValue(document),
    locate: (place) => position(lines, nodeOffset(document.contents, place.at, isUnknownProperty(place))),
    problems: missing.map(({ offset, variable }) => problem(
      pathTo(document.contents, offset), setVariable, variable,
      `environment variable ${variable} is not set`)),
  };
}

/**
 * The reader's time grows faster than depth, and resources are a few levels deep. In YAML brackets may also stand in texts, where
 * they open nothing: the limit is one that nobody meets by accident.
 */
function refuseDepth(text: string, format: 'yaml' | 'json'): void {
  const deepest = format === 'json' ? 500 : 5000;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at);
    if (sign === 0x22 && format === 'json') at = endOfString(text, at);
    else if (sign === 0x5b || sign === 0x7b) depth++;
    else if (sign === 0x5d || sign === 0x7d) depth--;
    if (depth > deepest) throw new Unreadable('nested too deeply');
  }
  if (format === 'yaml' && /(?:[-?:][ \t]+){500}/.test(text)) throw new Unreadable('nested too deeply');
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at;
}

function parse(text: string, lines: LineCounter): Document.Parsed {
  try {
    return parseDocument(text, {
      // Compared below: the reader's way takes a time that grows with the square of their number.
      lineCounter: lines, uniqueKeys: false, strict: true, prettyErrors: false, version: '1.2', schema: 'core',
      logLevel: 'silent',
    });
  } catch (error) {
    // The reader recurses: thousands of opening brackets exhaust the stack.
    throw new Unreadable(error instanceof RangeError ? 'nested too deeply' : (error as Error).message);
  }
}

function refuseBadYaml(errors: readonly YAMLError[], lines: LineCounter): void {
  const [first] = errors;
  if (first !== undefined) throw new Unreadable(first.message, position(lines, first.pos[0]));
}

// JSON.parse decides what is JSON; YAML's reader takes any of it, and knows where it stands.
function refuseBadJson(text: string, lines: LineCounter): void {
  try {
    JSON.parse(text);
  } catch (error) {
    const message = (error as Error).message;
    const cutOff = /end of JSON|Unterminated/.test(message);
    const offset = /position (\d+)/.exec(message)?.[1] ?? (cutOff ? text.length : 0);
    // The engine's text quotes the document, which may hold secrets.
    const why = cutOff ? 'unexpected end of JSON' : 'not valid JSON';
    throw new Unreadable(why, position(lines, Number(offset)));
  }
}

function toValue(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: mostAliases });
  } catch (error) {
    throw new Unreadable((error as Error).message);
  }
}

interface Missing { readonly offset: number; readonly variable: string }

function replaceVariables(document: Document, format: 'yaml' | 'json', environment: Environment, lines: LineCounter): Missing[] {
  const missing: Missing[] = [];
  let replacedKeys = false;
  visit(document, {
    Scalar: (key, node) => {
      if (typeof node.value !== 'string') return;
      const { text, missing: names, whole } = substitute(node.value, environment);
      missing.push(...names.map((variable) => ({ offset: node.range?.[0] ?? 0, variable })));
      if (text === node.value) return;
      // An unquoted scalar that is only the placeholder is what its text would have been: `port: ${PORT}` is
      // a number. JSON has no unquoted form, so there the whole string counts.
      const plain = whole && (format === 'json' || node.type === 'PLAIN');
      node.value = plain ? scalarOf(text) : text;
      if (key === 'key') replacedKeys = true;
    },
  });
  if (replacedKeys) refuseEqualKeys(document, lines, 'Map keys must be unique, with their variables replaced, too');
  return missing;
}

// JSON.parse hides them, too.
function refuseEqualKeys(document: Document, lines: LineCounter, why: string): void {
  visit(document, {
    Map: (_key, { items }) => {
      const seen = new Set<string>();
      for (const { key } of items) {
        const name = nameOf(key);
        if (seen.has(name)) throw new Unreadable(why, position(lines, (key as Node).range?.[0] ?? 0));
        seen.add(name);
      }
    },
  });
}

/** Numbers, booleans and null as YAML reads them; anything else stays text. */
function scalarOf(text: string): unknown {
  const { contents, errors } = parseDocument(text, { logLevel: 'silent' });
  const value: unknown = isScalar(contents) && errors.length === 0 ? contents.value : text;
  const literal = typeof value === 'boolean' || (typeof value === 'number' && String(value) === text.trim());
  return literal || (value === null && text !== '') ? value : text;
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function nodeOffset(root: unknown, at: At, ofName: boolean): number {
  let node = root as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const segment of at) {
    if (isMap(node)) {
      const pair = node.items.find((each) => nameOf(each.key) === String(segment));
      if (pair === undefined) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value as Node | null;
    } else if (isSeq(node)) {
      node = (node.items[Number(segment)] ?? null) as Node | null;
      offset = node?.range?.[0] ?? offset;
    } else {
      return offset;
    }
  }
  // A short value is pointed at directly, a long one by its key.
  return isScalar(node) && !ofName ? node.range?.[0] ?? offset : offset;
}

/** The path of the innermost named place around an offset. */
function pathTo(root: unknown, offset: number): At {
  const at: (string | number)[] = [];
  let node = root as Node | null;
  for (;;) {
    if (isMap(node)) {
      const pair = lastBegun(node.items, ({ key }) => key, offset)?.[1];
      if (pair === undefined || !(around(pair.key, offset) || around(pair.value, offset))) return at;
      at.push(cut(nameOf(pair.key)));
      node = around(pair.value, offset) ? pair.value as Node | null : null;
    } else if (isSeq(node)) {
      const [index, item] = lastBegun<unknown>(node.items, (each) => each, offset) ?? [];
      if (index === undefined || !around(item, offset)) return at;
      at.push(index);
      node = item as Node | null;
    } else {
      return at;
    }
  }
}

/** Of nodes in the order in which they stand, the last that begins at the offset or before it; in few steps, because there may be many. */
function lastBegun<Item>(items: readonly Item[], nodeOf: (item: Item) => unknown, offset: number): [index: number, item: Item] | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (((nodeOf(items[middle]!) as Node | null)?.range?.[0] ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : [low - 1, items[low - 1]!];
}

function nameOf(key: unknown): string {
  return String(isScalar(key) ? key.value : key);
}

function around(node: unknown, offset: number): boolean {
  const range = (node as Node | null)?.range;
  return range != null && range[0] <= offset && offset < range[2];
}
