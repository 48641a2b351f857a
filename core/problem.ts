// One thing that is wrong with a configuration: where, what was expected, what came.

/** Names and indexes from the root of the value to the place. */
export type At = readonly (string | number)[];

/** Plain data: travels between threads and into JSON answers. */
export interface Problem {
  readonly at: At;
  /** `nodes[1].port`; empty for the value itself. */
  readonly path: string;
  readonly expected: string;
  readonly got: string;
  /** The sentence without the path. */
  readonly text: string;
  /** `nodes[1].port: expected 1..65535, got 0` */
  readonly message: string;
}

/** Makes a problem; `text` replaces the usual `expected …, got …`. */
export function problem(
  at: At, expected: string, got: string, text = `expected ${expected}, got ${got}`,
): Problem {
  // An unknown property is named inside the sentence, so the path in front is its owner's.
  const shown = formatPath(isUnknownProperty({ text }) ? at.slice(0, -1) : at);
  const message = shown === '' ? text : `${shown}: ${text}`;
  return { at, path: formatPath(at), expected, got, text, message };
}

/**
 * The problem that a plugin's or protocol's own check tells as one text. `delay.min: expected …, got …` says where it is,
 * what was expected and what came, if `delay` is one of the `properties`; any other text stands for itself.
 */
export function problemOf(text: string, properties: unknown): Problem {
  const place = /^([A-Za-z_]\w*)((?:\.\w+|\[\d{1,6}\])*): (?=\S)/.exec(text);
  const known = place !== null && Object.hasOwn(Object(properties), place[1] ?? '');
  const at = known ? (place[0].match(/\w+/g) ?? []).map((part) => (/^\d/.test(part) ? Number(part) : part)) : [];
  const rest = known ? text.slice(place[0].length) : text;
  const said = /expected (.+?)(?:, got (.+))?$/s.exec(rest);
  return problem(at, said?.[1] ?? 'a sensible combination', said?.[2] ?? 'this one', rest);
}

/** The name is wrong, not the value under it. */
export function isUnknownProperty({ text }: Pick<Problem, 'text'>): boolean {
  return text.startsWith('unknown property');
}

/** The same problems, seen from an object that holds the value at `outer`. */
export function nest(outer: At, problems: readonly Problem[]): Problem[] {
  return problems.map((each) => problem([...outer, ...each.at], each.expected, each.got, each.text));
}

export function formatPath(at: At): string {
  let path = '';
  for (const segment of at) {
    if (typeof segment === 'number') path += `[${segment}]`;
    else if (!/^[\w$-]{1,100}$/.test(segment)) path += `[${JSON.stringify(cut(segment))}]`;
    else path += path === '' ? segment : `.${segment}`;
  }
  return path;
}

/** At most 40 characters of a text that somebody sent. */
export function cut(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`;
}

/** A sent value, short enough for one line: type and value of what is small, type and size of what is not. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (Array.isArray(value)) return `array of ${value.length}`;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}

/** The candidate that was probably meant, if one is near enough. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, steps: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, steps }) => steps <= Math.max(1, Math.min(candidate.length, name.length) / 3))
    .toSorted((a, b) => a.steps - b.steps);
  return ranked[0]?.candidate;
}

/** Steps of one letter: changed, added, left out, or exchanged with the next one. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 4) return 99;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : 99;
      next.push(Math.min(change, exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 99;
}
