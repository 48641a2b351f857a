// What an operator asks about a running data plane: who is connected, and why a connection goes where it goes.
import type { Engine } from './engine.ts';
import { mismatchOf } from './router.ts';
import type { Routes } from './reload.ts';
import type { Origin } from './connection.ts';
import { endpoint } from './endpoint.ts';
import type { Session } from './session.ts';
import type { ListenerStatus } from './plane.ts';
import type { OperationExplained } from './protocol.ts';
import type { Route } from './route.ts';
import { upstreamsNow, type UpstreamsAnswer } from './upstream-status.ts';
import type { UpstreamSurroundings } from './upstream-surroundings.ts';

export interface SessionFilter {
  readonly id?: number;
  readonly route?: string;
  /** Client address, without port. */
  readonly client?: string;
  readonly user?: string;
  readonly protocol?: string;
  /** Seconds without a request, at least. */
  readonly idle?: number;
  /** Those with a higher number only. */
  readonly after?: number;
}

export interface SessionInfo {
  readonly id: number;
  readonly worker: number;
  readonly client: string;
  readonly server: string;
  readonly sni: string | null;
  readonly route: string;
  readonly protocol: string;
  readonly user: string | null;
  /** Seconds since it was opened, and since its last request. */
  readonly age: number;
  readonly idle: number;
  /** Requests that were not answered yet. */
  readonly in_flight: number;
  readonly last_operation: string;
  readonly bytes_in: number;
  readonly bytes_out: number;
  /** Bytes that the client has not taken yet. */
  readonly unsent: number;
}

export type Question =
  | { readonly what: 'sessions'; readonly filter: SessionFilter; readonly limit: number }
  | { readonly what: 'kill'; readonly filter: SessionFilter }
  | { readonly what: 'upstreams' }
  /** `words`: an operation, the name first; none: only the connection is asked about. */
  | { readonly what: 'explain'; readonly origin: Origin; readonly words: readonly string[] };

export interface SessionsAnswer { readonly total: number; readonly list: readonly SessionInfo[] }
export interface KillAnswer { readonly killed: number }

/** Why a route is not the one. */
export interface Passed { readonly route: string; readonly why: string }

export interface ExplainAnswer {
  /** Null: nobody listens on that port. */
  readonly listener: ListenerStatus | null;
  /** Null: the connection is closed. `default`: that of the listener, as no stream route matches. */
  readonly route: string | null;
  readonly protocol: string | null;
  /** In the order in which they run. */
  readonly plugins: readonly { readonly name: string; readonly priority: number; readonly phases: readonly string[] }[];
  readonly nodes: readonly { readonly address: string; readonly available: boolean; readonly weight: number; readonly priority: number }[];
  readonly others: readonly Passed[];
  /** Null: none was asked about, or the protocol cannot say. */
  readonly operation: OperationExplained | null;
}

export type Answer = SessionsAnswer | KillAnswer | ExplainAnswer | UpstreamsAnswer;

export interface Inspected {
  readonly worker: number;
  readonly engine: Engine;
  readonly routes: Routes;
  readonly surroundings: UpstreamSurroundings;
  /** Who listens there. */
  readonly listenerAt: (address: string, port: number) => ListenerStatus | null;
  /** Where clients of that listener go whom no stream route takes. */
  readonly fallbackAt: (port: number) => Route | null;
}

export function inspect(question: Question, plane: Inspected): Answer {
  switch (question.what) {
    case 'sessions': return listSessions(question.filter, question.limit, plane);
    case 'kill': return kill(question.filter, plane);
    case 'upstreams': return upstreamsNow(plane.surroundings, plane.worker);
    case 'explain': return explain(question.origin, question.words, plane);
  }
}

function listSessions(filter: SessionFilter, limit: number, { engine, worker }: Inspected): SessionsAnswer {
  const now = engine.clock.now();
  const found = [...engine.sessions].filter((session) => fits(session, filter, now));
  const { after = 0 } = filter;
  const listed = after === 0 ? found : found.filter((session) => session.id > after);
  return { total: found.length, list: listed.slice(0, limit).map((session) => infoOf(session, worker, now)) };
}

/** Ends them at once; what they asked for is not answered. */
function kill(filter: SessionFilter, { engine }: Inspected): KillAnswer {
  const now = engine.clock.now();
  const found = [...engine.sessions].filter((session) => fits(session, filter, now));
  for (const session of found) session.destroy('KILLED');
  return { killed: found.length };
}

function fits(session: Session, { id, route, client, user, protocol, idle }: SessionFilter, now: number): boolean {
  return (id === undefined || session.id === id)
    && (route === undefined || session.route.id === route)
    && (client === undefined || session.remoteAddress === client)
    && (user === undefined || session.user === user)
    && (protocol === undefined || session.route.protocol === protocol)
    && (idle === undefined || session.idleFor(now) >= idle * 1000);
}

function infoOf(session: Session, worker: number, now: number): SessionInfo {
  const { origin, outbox } = session.connection;
  return {
    id: session.id, worker,
    client: endpoint(origin.remoteAddress, origin.remotePort),
    server: endpoint(origin.localAddress, origin.localPort),
    sni: origin.sni, route: session.route.id, protocol: session.route.protocol, user: session.user,
    age: seconds(now - session.openedAt), idle: seconds(session.idleFor(now)),
    in_flight: session.inFlight, last_operation: session.lastOperation,
    bytes_in: session.received, bytes_out: outbox.total, unsent: outbox.pending,
  };
}

function explain(origin: Origin, words: readonly string[], { routes, listenerAt, fallbackAt }: Inspected): ExplainAnswer {
  const matched = routes.router.match(origin);
  const chosen = matched ?? fallbackAt(origin.localPort);
  const backend = chosen?.plan?.backend;
  const others = [...routes.matched].filter(([id]) => id !== matched?.id).map(([route, conf]): Passed => (
    { route, why: mismatchOf(conf, origin) ?? `it matches, but route ${matched!.id} is more specific, has a higher priority or a lower id` }));
  const places = chosen?.plan?.places ?? [];
  return {
    listener: listenerAt(origin.localAddress, origin.localPort),
    route: chosen?.id ?? null,
    protocol: chosen?.protocol ?? null,
    plugins: places.map(({ plugin, priority, hooks }) => ({
      name: plugin, priority,
      phases: (['connect', 'request', 'response', 'log', 'disconnect'] as const).filter((phase) => hooks[phase] !== undefined),
    })),
    nodes: chosen === null ? [] : routes.upstreamOf(chosen)?.choices ?? [],
    others: others.slice(0, mostOthers),
    operation: words.length === 0 ? null : backend?.explain?.(words) ?? null,
  };
}

const mostOthers = 100;

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}
