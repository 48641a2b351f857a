// `protocol.conf.faults`: rules by command and key, checked for every command before it is sent.
import { ProxyError } from '../../core/errors.ts';
import type { Hooks } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import type { JsonSchema } from '../../core/schema.ts';
import type { ProtocolPlace } from '../../core/protocol.ts';
import { commandNamed } from './commands/table.ts';
import { keysAreKnown } from './commands/keys.ts';
import type { RedisConf } from './backend.ts';
import { globMatches } from './memory/glob.ts';

interface Fault {
  readonly commands: readonly string[];
  readonly key?: string;
  readonly keys?: readonly string[];
  readonly delay?: number;
  readonly error?: string;
  readonly close?: boolean;
  readonly percentage?: number;
  readonly seed?: number;
}

/** Seconds; a client that waits longer has given up. */
const longestDelay = 3600;

export const faultSchema: JsonSchema = {
  type: 'array',
  minItems: 1,
  maxItems: 1000,
  description: 'Faults by command and key. For each command the first of its keys that has a rule decides, else the '
    + 'rule without key; of rules for the same command and key the last one counts.',
  items: {
    type: 'object',
    required: ['commands'],
    additionalProperties: false,
    anyOf: [{ required: ['delay'] }, { required: ['error'] }, { required: ['close'] }],
    properties: {
      commands: {
        type: 'array', minItems: 1, items: { type: 'string', minLength: 1, maxLength: 64 },
        description: 'Commands, in any case.',
      },
      key: { type: 'string', minLength: 1, description: 'Exact key. Without `key` and `keys`: any.' },
      keys: {
        type: 'array', minItems: 1, items: { type: 'string', minLength: 1, maxLength: 512 },
        description: 'Glob patterns as Redis knows them: `*`, `?`, `[a-z]`, `\\`.',
      },
      delay: { type: 'number', minimum: 0, maximum: longestDelay, description: 'Seconds to wait before it is sent.' },
      error: { type: 'string', minLength: 1, maxLength: 512, description: 'Error that the client gets instead.' },
      close: { type: 'boolean', description: 'Close the connection instead of answering.' },
      percentage: { type: 'number', minimum: 0, maximum: 100, description: 'How many of the matching commands.' },
      seed: { type: 'integer', minimum: 0, description: 'Makes the choice of `percentage` repeatable.' },
    },
  },
};

export function faultPlaces(conf: RedisConf): readonly ProtocolPlace[] {
  const faults = conf.faults as readonly Fault[] | undefined;
  if (faults === undefined || faults.length === 0) return [];
  // Above every plugin: the reference injects while it reads the command.
  return [{ name: 'redis-faults', priority: 20_000, hooks: compileFaults(faults) }];
}

/** The fault that a command would meet, if its percentage is so inclined. */
export function faultFor(conf: RedisConf, request: Request): object | null {
  return rulesOf((conf.faults ?? []) as unknown as readonly Fault[]).get(request.name)?.find(request)?.fault ?? null;
}

interface Rule {
  readonly fault: Fault;
  /** 0 ≤ roll() < 100. */
  readonly roll: () => number;
}

/** The rules of one command. */
class CommandRules {
  readonly byKey = new Map<string, Rule>();
  readonly patterns: { readonly pattern: string; readonly rule: Rule }[] = [];
  any: Rule | null = null;

  find(request: Request): Rule | null {
    if (this.byKey.size > 0 || this.patterns.length > 0) {
      const count = request.keyCount;
      for (let i = 0; i < count; i++) {
        const key = request.key(i).toString('latin1');
        const rule = this.byKey.get(key) ?? this.patterns.find(({ pattern }) => globMatches(pattern, key))?.rule;
        if (rule !== undefined) return rule;
      }
    }
    return this.any;
  }
}

function compileFaults(faults: readonly Fault[]): Hooks {
  const byCommand = rulesOf(faults);
  const longest = Math.max(0, ...faults.map(({ delay }) => delay ?? 0));
  return {
    maxWait: longest * 1000 + 1000,
    transient: true,
    request(request) {
      const rule = byCommand.get(request.name)?.find(request);
      if (rule === null || rule === undefined) return undefined;
      const { fault } = rule;
      if (fault.percentage !== undefined && rule.roll() >= fault.percentage) return undefined;
      if (fault.delay !== undefined && fault.delay > 0) return delayed(request, fault);
      finish(request, fault);
      return undefined;
    },
  };
}

function rulesOf(faults: readonly Fault[]): Map<string, CommandRules> {
  const byCommand = new Map<string, CommandRules>();
  for (const fault of faults) {
    const rule: Rule = { fault, roll: roller(fault.seed) };
    for (const command of fault.commands) addRule(byCommand, command.toLowerCase(), rule);
  }
  return byCommand;
}

function addRule(byCommand: Map<string, CommandRules>, name: string, rule: Rule): void {
  const rules = byCommand.get(name) ?? new CommandRules();
  byCommand.set(name, rules);
  const { key, keys } = rule.fault;
  const keyless = keysAreKnown(commandNamed(name)) && commandNamed(name).keySpecs.length === 0
    && commandNamed(name).name !== '' && commandNamed(name).subcommands === null && !movable.has(name);
  if (keyless || (key === undefined && keys === undefined)) rules.any = rule;
  if (keyless) return;
  // The bytes of a key, one character each.
  if (key !== undefined) rules.byKey.set(Buffer.from(key).toString('latin1'), rule);
  for (const pattern of keys ?? []) {
    rules.patterns.unshift({ pattern: Buffer.from(pattern).toString('latin1'), rule });
  }
}

/** Their keys are found by looking at the arguments. */
const movable = new Set(['sort', 'sort_ro', 'migrate', 'georadius', 'georadiusbymember', 'xread', 'xreadgroup']);

async function delayed(request: Request, fault: Fault): Promise<void> {
  await new Promise<void>((resolve) => {
    let forget = (): void => undefined;
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, fault.delay! * 1000);
    forget = request.session.onClose(() => {
      clearTimeout(timer);
      resolve();
    });
  });
  finish(request, fault);
}

function finish(request: Request, fault: Fault): void {
  if (request.settled || request.session.closed) return;
  // What is owed before it still leaves: the close waits its turn.
  if (fault.close === true) request.settle(new ProxyError('FAULT_INJECTED', fault.error ?? '', { close: true }));
  else if (fault.error !== undefined) request.settle(new ProxyError('FAULT_INJECTED', fault.error));
}

/** Numbers from 0 to 100; the same ones for the same seed (mulberry32). */
function roller(seed: number | undefined): () => number {
  if (seed === undefined) return () => Math.random() * 100;
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * 100;
  };
}
