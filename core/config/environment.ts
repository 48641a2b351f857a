// Environment variables in configuration: `${NAME}`, `${NAME:-default}`, and the reference's `${{NAME}}`,
// `${{NAME:=default}}`. `$${` stands for a literal `${`. Replaced in parsed values only: a variable's value
// can never become another key or structure.

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Substituted {
  readonly text: string;
  /** Variables that are not set and have no default; their places are left as they were. */
  readonly missing: readonly string[];
  /** The text was one placeholder and nothing else. */
  readonly whole: boolean;
}

const name = '[A-Za-z_][A-Za-z0-9_]{0,127}';
const placeholder = new RegExp(
  `\\$\\$\\{|\\$\\{\\{\\s*(${name})\\s*(?::=([^}]*))?\\}\\}|\\$\\{(${name})(?::-([^}]*))?\\}`, 'g');

export function substitute(text: string, environment: Environment): Substituted {
  if (!text.includes('${')) return { text, missing: [], whole: false };
  const missing: string[] = [];
  let whole = false;
  const replaced = text.replace(placeholder, (found: string, ...groups: (string | undefined)[]) => {
    if (found === '$${') return '${';
    whole = found.length === text.length;
    const variable = groups[0] ?? groups[2] ?? '';
    const value = environment[variable] ?? groups[1]?.trimEnd() ?? groups[3];
    if (value === undefined) missing.push(variable);
    return value ?? found;
  });
  return { text: replaced, missing, whole };
}
