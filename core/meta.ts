// `_meta` of a place: in which phases, for which requests and with which words a plugin works there. The plugin itself
// knows nothing of it.
import { connectionRequest } from './connection-request.ts';
import { ProxyError } from './errors.ts';
import { compileExpression } from './expression.ts';
import type { Hooks } from './plugin.ts';
import type { Owner, Request } from './request.ts';
import type { Session } from './session.ts';

export interface Meta {
  readonly disable?: boolean;
  readonly priority?: number;
  readonly phases?: readonly string[];
  readonly filter?: readonly unknown[];
  readonly error_response?: string | object;
  readonly on_failure?: 'refuse' | 'pass';
  readonly pre_function?: string;
}

type Test = (request: Request) => boolean;

/** Fewer phases, only what the filter lets through, another error text. */
export function narrowed(hooks: Hooks, meta: Meta): Hooks {
  const { phases, filter, error_response: response } = meta;
  if (phases === undefined && filter === undefined && response === undefined) return hooks;
  const takes = (phase: string): boolean => phases === undefined || phases.includes(phase);
  const filtered = filter === undefined || filter.length === 0 ? null : compileExpression(filter, '_meta.filter');
  const wants = (request: Request): boolean => filtered === null || filtered(request);
  const early = filtered === null || filtered.requestTimeOnly;
  const text = response === undefined ? null : typeof response === 'string' ? response : JSON.stringify(response);
  const result: Hooks = {
    ...(hooks.maxWait === undefined ? {} : { maxWait: hooks.maxWait }),
    ...(hooks.transient === undefined ? {} : { transient: hooks.transient }),
    close: () => hooks.close?.(),
    status: () => hooks.status?.() ?? {},
    ...(hooks.waiting === undefined ? {} : { waiting: () => hooks.waiting!() }),
  };
  narrowConnections(result, hooks, takes('connect'), filtered, text);
  if (hooks.request !== undefined && takes('request')) {
    result.request = (request) => {
      if (!wants(request)) return undefined;
      return text === null ? hooks.request!(request) : inWords(text, hooks, request);
    };
  }
  // What a filter asks may be known only after the answer: then it is asked when the hook runs.
  result.select = (request) => (!early || wants(request)) && (hooks.select?.(request) ?? true);
  if (hooks.response !== undefined && takes('response')) {
    result.response = (request) => { if (early || wants(request)) hooks.response!(request); };
  }
  if (hooks.log !== undefined && takes('log')) {
    result.log = (request) => { if (early || wants(request)) hooks.log!(request); };
  }
  return result;
}

/** A connection that a filter left out at its begin is left out at its end. */
function narrowConnections(result: Hooks, hooks: Hooks, connects: boolean, filter: Test | null, text: string | null): void {
  const leftOut = new WeakSet<Session>();
  const fits = (session: Session, reason: string): boolean =>
    filter === null || filter(connectionRequest(session, reason, session.engine.clock.now()));
  if (hooks.connect !== undefined && connects) {
    result.connect = (session) => {
      if (fits(session, '')) return text === null ? hooks.connect!(session) : rejecting(text, () => hooks.connect!(session));
      leftOut.add(session);
      return undefined;
    };
  }
  if (hooks.disconnect === undefined) return;
  result.disconnect = (session, reason) => {
    if (leftOut.has(session) || (hooks.connect === undefined && !fits(session, reason))) return;
    hooks.disconnect!(session, reason);
  };
}

/** Runs a hook that says no by throwing, with another text. */
function rejecting(text: string, run: () => void | Promise<void>): void | Promise<void> {
  try {
    const wait = run();
    return wait?.catch((cause: unknown) => { throw reworded(cause, text); });
  } catch (cause) {
    throw reworded(cause, text);
  }
}

/** A request that waited is answered in the moment in which it is settled: it gets its words on the way. */
function inWords(text: string, hooks: Hooks, request: Request): void | Promise<void> {
  const { owner } = request;
  const wording: Owner = {
    deliver: (settled) => {
      settled.owner = owner;
      settled.outcome = reworded(settled.outcome, text);
      owner.deliver(settled);
    },
    accepts: (asking) => owner.accepts(asking),
    relay: (relayed, bytes, start, end) => owner.relay(relayed, bytes, start, end),
  };
  const done = (): void => { if (request.owner === wording) request.owner = owner; };
  request.owner = wording;
  let wait: void | Promise<void>;
  try {
    wait = rejecting(text, () => hooks.request!(request));
  } catch (cause) {
    done();
    throw cause;
  }
  if (wait === undefined) return done();
  return wait.finally(done);
}

/** A close without a text stays one without an answer. */
function reworded<T>(cause: T, text: string): T | ProxyError {
  if (!(cause instanceof ProxyError) || cause.message === '') return cause;
  return new ProxyError(cause.code, text, { cause, close: cause.close });
}
