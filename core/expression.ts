// The condition language of APISIX (`filter`, `vars`), compiled once: a list of rules that must all hold, or
// one that begins with AND, OR, !AND, !OR. A rule is [variable, operator, value], with "!" before the
// operator to negate it.
import { BlockList, isIP } from 'node:net';
import { RE2JS } from 're2js';
import { ProxyError } from './errors.ts';
import { isAddressOrCidr } from './schema.ts';
import type { Request } from './request.ts';
import { findVariable, readKeys } from './variables.ts';

export interface Expression {
  (request: Request): boolean;
  /** It asks nothing that is known only after the answer: a hook may decide before the request is sent. */
  readonly requestTimeOnly: boolean;
}

const deepest = 8;
const mostRules = 256;
const longestText = 4096;
const longestRegex = 1024;
const longestList = 1024;

/** Throws a ProxyError that says where and what, e.g. `filter[0]: rule too short: expected …, got {}`. */
export function compileExpression(rules: unknown, path = 'filter'): Expression {
  const compiler: Compiler = { requestTimeOnly: true, rules: 0 };
  const test = compileList(rules, path, compiler, 1);
  return Object.assign((request: Request) => test(request), { requestTimeOnly: compiler.requestTimeOnly });
}

/** What is wrong with it; empty when nothing is. */
export function checkExpression(rules: unknown, path = 'filter'): string[] {
  try {
    compileExpression(rules, path);
    return [];
  } catch (cause) {
    if (cause instanceof ProxyError) return [cause.message];
    throw cause;
  }
}

type Test = (request: Request) => boolean;

interface Compiler {
  requestTimeOnly: boolean;
  rules: number;
}

const logicWords = ['AND', 'OR', '!AND', '!OR'];

function compileList(rules: unknown, path: string, compiler: Compiler, depth: number): Test {
  if (!Array.isArray(rules)) throw wrong(path, 'expected a list of rules', rules);
  if (depth > deepest) throw wrong(path, `expected at most ${deepest} levels`, rules);
  const first: unknown = rules[0];
  // One rule without a list around it is not ambiguous: a list holds lists.
  if (typeof first === 'string' && !isLogic(first)) return compileRule(rules, path, compiler);
  const word = isLogic(first) ? first : 'AND';
  const from = isLogic(first) ? 1 : 0;
  if (isLogic(first) && rules.length < 2) throw wrong(path, `expected rules after ${word}`, rules);
  const tests = rules.slice(from)
    .map((rule, i) => compileItem(rule, `${path}[${i + from}]`, compiler, depth));
  return joined(tests, word);
}

function compileItem(rule: unknown, path: string, compiler: Compiler, depth: number): Test {
  if (++compiler.rules > mostRules) throw wrong(path, `expected at most ${mostRules} rules`, rule);
  if (Array.isArray(rule) && (Array.isArray(rule[0]) || isLogic(rule[0]))) {
    return compileList(rule, path, compiler, depth + 1);
  }
  return compileRule(rule, path, compiler);
}

function isLogic(value: unknown): value is string {
  return typeof value === 'string' && logicWords.includes(value.toUpperCase());
}

function joined(tests: readonly Test[], word: string): Test {
  const upper = word.toUpperCase();
  const inverted = upper.startsWith('!');
  const all = upper.endsWith('AND');
  if (tests.length === 1 && !inverted) return tests[0]!;
  return (request) => {
    for (let i = 0; i < tests.length; i++) {
      if (tests[i]!(request) !== all) return inverted === all;
    }
    return inverted !== all;
  };
}

function compileRule(rule: unknown, path: string, compiler: Compiler): Test {
  // `{}` is how Lua's JSON writes an empty list.
  const items: readonly unknown[] | null = Array.isArray(rule) ? rule : isEmptyObject(rule) ? [] : null;
  const form = 'expected [variable, operator, value]';
  if (items === null) throw wrong(path, form, rule);
  const inverted = items[1] === '!';
  const length = inverted ? 4 : 3;
  if (items.length < length) throw wrong(path, `rule too short: ${form}`, rule);
  if (items.length > length) throw wrong(path, `rule too long: ${form}`, rule);
  const [name, operator, operand] = [items[0], items[length - 2], items[length - 1]];
  const compare = compileOperator(operator, operand, path, length);
  const read = compileOperand(name, operator === 'has', path, compiler);
  return inverted ? (request) => !compare(read(request)) : (request) => compare(read(request));
}

type Read = (request: Request) => Value;
type Value = string | number | readonly string[];
type Compare = (value: Value) => boolean;

function compileOperand(name: unknown, asList: boolean, path: string, compiler: Compiler): Read {
  if (typeof name !== 'string') throw wrong(`${path}[0]`, 'expected the name of a variable', name);
  if (asList && name === 'keys') return (request) => readKeys(request);
  try {
    const variable = findVariable(name);
    if (variable.afterAnswer) compiler.requestTimeOnly = false;
    return variable.read;
  } catch {
    throw wrong(`${path}[0]`, 'expected the name of a variable', name);
  }
}

function compileOperator(operator: unknown, operand: unknown, path: string, length: number): Compare {
  const known = typeof operator === 'string' && Object.hasOwn(operators, operator);
  const make = known ? operators[operator] : undefined;
  const at = `${path}[${length - 2}]`;
  if (make === undefined) throw wrong(at, `expected one of ${operatorNames}`, operator);
  return make(operand, `${path}[${length - 1}]`);
}

const operators: Readonly<Record<string, (operand: unknown, path: string) => Compare>> = {
  '==': (operand, path) => equals(scalar(operand, path)),
  '~=': (operand, path) => not(equals(scalar(operand, path))),
  '>': (operand, path) => ordered(scalar(operand, path), (order) => order > 0),
  '>=': (operand, path) => ordered(scalar(operand, path), (order) => order >= 0),
  '<': (operand, path) => ordered(scalar(operand, path), (order) => order < 0),
  '<=': (operand, path) => ordered(scalar(operand, path), (order) => order <= 0),
  '~~': (operand, path) => regex(operand, path, 0),
  '~*': (operand, path) => regex(operand, path, RE2JS.CASE_INSENSITIVE),
  'in': (operand, path) => {
    const tests = list(operand, path).map((each, i) => equals(scalar(each, `${path}[${i}]`)));
    return (value) => tests.some((test) => test(value));
  },
  'has': (operand, path) => {
    const test = equals(scalar(operand, path));
    return (value) => members(value).some(test);
  },
  'ipmatch': (operand, path) => addresses(operand, path),
};

const operatorNames = Object.keys(operators).join(' ');

function not(compare: Compare): Compare {
  return (value) => !compare(value);
}

// A variable without a value reads as the empty text, which is also what null in a rule means.
function scalar(operand: unknown, path: string): string | number {
  if (operand === null) return '';
  if (typeof operand === 'boolean') return String(operand);
  if (typeof operand === 'number') return operand;
  if (typeof operand !== 'string') throw wrong(path, 'expected a text or a number', operand);
  if (operand.length > longestText) throw wrong(path, `expected at most ${longestText} characters`, operand);
  return operand;
}

function list(operand: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(operand)) throw wrong(path, 'expected a list', operand);
  if (operand.length > longestList) throw wrong(path, `expected at most ${longestList} entries`, operand);
  return operand;
}

/** Numbers where both are; else as text, so that "007" and "7" are two users. */
function equals(operand: string | number): Compare {
  if (typeof operand === 'number') return (value) => numeral(value) === operand;
  return (value) => String(value) === operand;
}

function ordered(operand: string | number, accepts: (order: number) => boolean): Compare {
  const number = numeral(operand);
  return (value) => {
    const mine = numeral(value);
    if (!Number.isNaN(mine) && !Number.isNaN(number)) return accepts(mine - number);
    if (typeof operand === 'number' || value === '') return false;
    const text = String(value);
    return accepts(text < operand ? -1 : text > operand ? 1 : 0);
  };
}

// Not everything that Number() takes: '' and '0x1' are texts.
const numberPattern = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

function numeral(value: Value): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && numberPattern.test(value) ? Number(value) : Number.NaN;
}

/** RE2: linear time whatever the text. Look-around and back references are refused here. */
function regex(operand: unknown, path: string, flags: number): Compare {
  if (typeof operand !== 'string') throw wrong(path, 'expected a regular expression', operand);
  if (operand.length > longestRegex) {
    throw wrong(path, `expected at most ${longestRegex} characters`, operand);
  }
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(operand, flags);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : 'unsupported';
    const reason = text.replace(/^error parsing regexp: /, '');
    throw wrong(path, `expected a regular expression in RE2's syntax (${reason})`, operand);
  }
  return (value) => compiled.test(String(value));
}

/** The values of a list variable; a text is a list separated by commas. */
function members(value: Value): readonly string[] {
  return typeof value === 'object' ? value : String(value).split(',').map((each) => each.trim());
}

function addresses(operand: unknown, path: string): Compare {
  const entries = typeof operand === 'string' ? [operand] : list(operand, path);
  const block = new BlockList();
  entries.forEach((entry, i) => {
    if (typeof entry !== 'string' || !isAddressOrCidr(entry)) {
      throw wrong(`${path}[${i}]`, 'expected an IP address or CIDR', entry);
    }
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) block.addAddress(address, family);
    else block.addSubnet(address, Number(bits), family);
  });
  return (value) => {
    const address = String(value);
    const family = isIP(address);
    return family !== 0 && block.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
}

function isEmptyObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length === 0;
}

function wrong(path: string, expected: string, got: unknown): ProxyError {
  const text = got === undefined ? 'nothing' : JSON.stringify(got);
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new ProxyError('CONFIG_INVALID', `${path}: ${expected}, got ${shown}`);
}
