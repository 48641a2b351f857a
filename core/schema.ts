// JSON schema as the whole project uses it: compiled once, answering with sentences of our own. Nothing is
// coerced and nothing is dropped; texts never contain a value whose schema says `writeOnly` (passwords,
// keys).
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { ProxyError, type ErrorCode } from './errors.ts';
import { isSecret } from './schema-secrets.ts';
import { sentence } from './schema-sentence.ts';
import { settleUnions } from './schema-union.ts';
import { problem, type At, type Problem } from './problem.ts';

export { hideSecrets } from './schema-secrets.ts';
export { nest, problem, formatPath, type At, type Problem } from './problem.ts';

export type JsonType = 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array' | 'null';

/**
 * JSON schema, draft 7. Two words of our own: `x-expected` says in plain words what a pattern or union wants;
 * `x-refused` (beside `not: {}`) says why a known property is not accepted. `writeOnly: true` marks a secret.
 */
export interface JsonSchema {
  readonly type?: JsonType | readonly JsonType[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema | readonly JsonSchema[];
  readonly required?: readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly writeOnly?: boolean;
  readonly 'x-expected'?: string;
  readonly 'x-refused'?: string;
  readonly [keyword: string]: unknown;
}

/** Everything that is wrong with a value; empty when nothing is. Fills in defaults if it was compiled so. */
export type Validator = (value: unknown) => Problem[];

export interface CompileOptions {
  /** Writes the schema's defaults into the value that is checked. */
  readonly defaults?: boolean;
}

/** A value that its schema refused, as an exception for callers that cannot go on without it. */
export class Invalid extends ProxyError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], code: ErrorCode = 'CONFIG_INVALID') {
    super(code, problems.map((each) => each.message).join('; '));
    this.name = 'Invalid';
    this.problems = problems;
  }
}

// More than anybody reads at once; a hostile array could otherwise make an answer larger than its request.
const mostProblems = 100;
// What is looked at to find them: a hostile array makes one error per entry.
const mostErrors = 2000;
// Deeper than any configuration; ends the walk over values that contain themselves.
const deepest = 64;

/** Throws when the schema itself is wrong: unknown keywords, impossible types, ignored defaults. */
export function compileSchema(schema: JsonSchema, options: CompileOptions = {}): Validator {
  const ajv = options.defaults === true ? filling() : checking();
  const validate: ValidateFunction = ajv.compile(schema);
  // ajv would keep every schema for ever, and plugins are reloaded; the compiled function lives on without
  // it.
  ajv.removeSchema(schema);
  return (value) => {
    const names = forbiddenNames(value);
    if (names.length > 0) return names;
    if (validate(value)) return [];
    return toProblems(schema, value, validate.errors ?? []);
  };
}

/** Names that would reach into an object's prototype when somebody copies it carelessly. */
export function isForbiddenName(name: string): boolean {
  return name === '__proto__' || name === 'prototype' || name === 'constructor';
}

/** Every forbidden name in the value, wherever it stands. */
export function forbiddenNames(value: unknown): Problem[] {
  const found: Problem[] = [];
  const visit = (node: unknown, at: At): void => {
    if (typeof node !== 'object' || node === null || found.length >= mostProblems) return;
    if (at.length > deepest) {
      found.push(problem(at.slice(0, 4), `at most ${deepest} levels`, 'more'));
      return;
    }
    if (Array.isArray(node)) {
      for (let index = 0; index < node.length; index++) visit(node[index], [...at, index]);
      return;
    }
    for (const [name, child] of Object.entries(node)) {
      if (isForbiddenName(name)) {
        found.push(problem([...at, name], 'another name', `"${name}"`, 'the name is forbidden'));
      }
      else visit(child, [...at, name]);
    }
  };
  visit(value, []);
  return found;
}

function toProblems(schema: JsonSchema, root: unknown, errors: readonly ErrorObject[]): Problem[] {
  const problems = new Map<string, Problem>();
  const settled = settleUnions(errors.slice(0, mostErrors));
  const wrongTypes = new Set(
    settled.filter(({ keyword }) => keyword === 'type').map(({ instancePath }) => instancePath));
  for (const error of settled) {
    // A value of the wrong type is not in the list of values either; once is enough.
    if ((error.keyword === 'enum' || error.keyword === 'const') && wrongTypes.has(error.instancePath)) {
      continue;
    }
    const at = parsePointer(error.instancePath, root);
    const made = sentence(error, at, isSecret(schema, at));
    if (made !== null && !problems.has(made.message)) problems.set(made.message, made);
    if (problems.size >= mostProblems) break;
  }
  return [...problems.values()];
}

/** `/nodes/1/port` → ['nodes', 1, 'port']: only the value knows which digits are an index. */
function parsePointer(pointer: string, root: unknown): At {
  const at: (string | number)[] = [];
  let node = root as Record<string, unknown> | undefined;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    at.push(Array.isArray(node) ? Number(name) : name);
    node = node?.[name] as Record<string, unknown> | undefined;
  }
  return at;
}

let checkingAjv: Ajv | undefined;
let fillingAjv: Ajv | undefined;

function checking(): Ajv {
  return (checkingAjv ??= makeAjv(false));
}

function filling(): Ajv {
  return (fillingAjv ??= makeAjv(true));
}

function makeAjv(useDefaults: boolean): Ajv {
  const ajv = new Ajv({
    allErrors: true, verbose: true, useDefaults, coerceTypes: false, strict: true,
    // Unions of types and `required` in branches are how the resource schemas are written.
    allowUnionTypes: true, strictTypes: false, strictRequired: false, ownProperties: true,
  });
  ajv.addVocabulary(['x-expected', 'x-refused']);
  ajv.addFormat('ip', (text) => isIP(text) !== 0);
  ajv.addFormat('ipv4', isIPv4);
  ajv.addFormat('ipv6', isIPv6);
  ajv.addFormat('cidr', isAddressOrCidr);
  ajv.addFormat('uri', (text) => URL.canParse(text));
  return ajv;
}

/** An IPv4 or IPv6 address, or a network of them such as `10.0.0.0/8`. */
export function isAddressOrCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return false;
  if (bits === undefined) return true;
  if (!/^\d{1,3}$/.test(bits)) return false;
  try {
    new BlockList().addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
    return true;
  } catch {
    return false;
  }
}
