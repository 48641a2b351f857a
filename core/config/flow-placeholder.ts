// `{ port: ${PORT:-9101} }`: inside of braces and brackets YAML would take those of a placeholder for its own. While the
// text is parsed, other characters of the same length stand for them, so that positions stay right.
import type { Scalar } from 'yaml';

const marks = '{}[],';
// Unicode leaves these to private use.
const standIns = '\uE0F0\uE0F1\uE0F2\uE0F3\uE0F4';
const anyStandIn = new RegExp(`[${standIns}]`);
const everyStandIn = new RegExp(anyStandIn, 'g');
const placeholder = /\$\{(?:\{[^{}\n]*\}|[^{}\n]*)\}/g;

/** The text with placeholders that YAML reads as plain text everywhere. */
export function guard(text: string): string {
  if (!text.includes('${') || anyStandIn.test(text)) return text;
  return text.replace(placeholder, (found) => found.replace(/[{}[\],]/g, (mark) => standIns.charAt(marks.indexOf(mark))));
}

/** What stood there before. */
export function unguard(node: Scalar): void {
  if (typeof node.value !== 'string' || !anyStandIn.test(node.value)) return;
  node.value = node.value.replace(everyStandIn, (each) => marks.charAt(standIns.indexOf(each)));
}
