// What is accepted and does nothing: told when a route is built, because only then it is known what it is made of.
import type { ErrorCode } from './errors.ts';
import type { Hooks } from './plugin.ts';
import { cut, nearest } from './problem.ts';
import type { Protocol } from './protocol.ts';
import { tlsVariableNames } from './tls/variable.ts';
import { commonVariableNames } from './variables.ts';

export interface PlaceWarning {
  readonly code: ErrorCode;
  readonly text: string;
}

/** Of a connection that ended, as loggers read it. */
const connectionVariables = ['reason'];
const mostTold = 20;

/** Hooks for requests on a route whose connections are never read. */
export function idleHooks(hooks: Hooks, provides: boolean, { name }: Protocol): PlaceWarning | null {
  if (name !== 'tcp' || hooks.connect !== undefined || hooks.disconnect !== undefined) return null;
  const phases = (['request', 'response', 'log'] as const).filter((phase) => hooks[phase] !== undefined);
  if (phases.length === 0 && !provides) return null;
  const what = phases.length === 0 ? 'it gives requests a variable' : `it runs for requests only (${phases.join(', ')})`;
  return { code: 'PLUGIN_IDLE', text: `${what}, and a route without protocol has none: it does nothing here` };
}

/**
 * Names of variables that a configuration has and nobody on its route knows. `names` are those that were compiled;
 * what a plugin reads on its own account does not stand in `confs`.
 */
export function unknownVariables(
  names: ReadonlySet<string>, confs: readonly unknown[], { name: protocol, variables }: Protocol, provided: Iterable<string>,
): PlaceWarning[] {
  // A protocol that does not say what it knows may know anything.
  if (variables === undefined || names.size === 0) return [];
  const known = [...commonVariableNames, ...tlsVariableNames, ...connectionVariables, ...variables, ...provided];
  const written = new Set(JSON.stringify(confs).match(/\w+/g));
  const unknown = [...names].filter((name) => written.has(name) && !known.includes(name));
  return unknown.slice(0, mostTold).map((name) => {
    const meant = nearest(name, known);
    const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
    return { code: 'VARIABLE_UNKNOWN', text: `unknown variable "${cut(name)}" on a route of protocol ${protocol}: it reads as empty${hint}` };
  });
}
