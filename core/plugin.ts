// What a plugin is. A plugin file exports one by default; nothing else in it is looked at.
import type { LookupFunction } from 'node:net';
import type { SecretManager } from './config/secret-manager.ts';
import type { JsonSchema } from './schema.ts';
import type { Logger } from './log.ts';
import type { Reply, Request } from './request.ts';
import type { Session } from './session.ts';

export interface Plugin<Conf = any> {
  readonly name: string;
  readonly version?: string;
  /** Higher runs first; equal ones run by name. */
  readonly priority: number;
  /** Of one configured place. Defaults are filled in before `setup` sees it. */
  readonly schema: JsonSchema;
  /** Of `plugin_metadata/<name>`: settings shared by all places. */
  readonly metadataSchema?: JsonSchema;
  /** What the schema cannot say. Called when configuration is written and again before `setup`. */
  check?(conf: Conf, context: CheckContext): readonly string[];
  /** Resources that a configuration names, so that they are not deleted while they are needed. */
  refers?(conf: Conf): readonly { readonly kind: 'upstreams'; readonly id: string }[];
  /** Where `$secret://<name of the plugin>/<id>/<name>` is looked up. It does not have to be configured anywhere for that. */
  readonly secretManager?: SecretManager;
  /** Runs once per configured place and configuration: compile here, hooks only run. */
  setup(conf: Conf, context: PluginContext): Hooks;
}

/** What `net.connect`, `tls.connect`, `http.request` and, but for `port`, `dgram.createSocket` take. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly lookup: LookupFunction;
}

/** Where connections may lead; `targets` in the settings. */
export interface Targets {
  /**
   * Why none may go there: a text that begins with `expected`, for `check`. Null: one may, or it is a name, of which nobody
   * knows before it is looked up.
   */
  refusal(host: string, port: number): string | null;
  /** How to connect there. Where none may go, and where a name leads there, connecting fails with TARGET_REFUSED. */
  dial(host: string, port: number): Target;
}

export interface CheckContext {
  /** Configurations of the same plugin in other places, for rules like "all members of a group agree". */
  readonly others: readonly { readonly place: string; readonly conf: unknown }[];
  readonly targets: Targets;
}

/**
 * What a place does in each phase. Absent hooks cost nothing. A request belongs to the hooks until its log hook
 * returned; do not keep it longer.
 */
export interface Hooks {
  /** Before the first byte is framed. Throw a ProxyError to refuse the connection. */
  connect?(session: Session): void | Promise<void>;
  /** Settle to answer, return to pass on, return a promise to hold this client until it resolves. */
  request?(request: Request): void | Promise<void>;
  /**
   * Asked once per request, after the request hooks: false means that this place's response and log hooks do not
   * want it. A request that nobody wants travels on the fast path.
   */
  select?(request: Request): boolean;
  /** The answer is about to leave. May replace `request.outcome`. */
  response?(request: Request): void;
  /** The answer was handed to the socket, or the client left first (`request.outcome` is null then). */
  log?(request: Request): void;
  /** The connection ended; `reason` is a code of docs/errors.md. */
  disconnect?(session: Session, reason: string): void;
  /** Retired, after the last request it was called for: flush and let go. */
  close?(): void | Promise<void>;
  /**
   * `request` and `select` look at the request only until they return, unless they wait or want it: they keep no
   * reference to it and key nothing by it. Its object may then serve the next request that nobody wants.
   */
  readonly transient?: boolean;
  /** The longest time in ms that `request` may wait; without it the route's request timeout. */
  readonly maxWait?: number;
  /** What an operator should see of this place now (hits, what is left): shown by `GET …/plugins/status`. */
  status?(): Record<string, unknown>;
  /** How many records wait to be sent: shown on the metrics page. */
  waiting?(): number;
}

export interface PluginContext {
  readonly plugin: string;
  readonly routeId: string;
  /** `protocol.name` of the route, or `tcp`. */
  readonly protocol: string;
  readonly log: Logger;
  /** Monotonic milliseconds, read once per event-loop turn. */
  now(): number;
  /** Compiled once; unknown names read as the empty string. Throws when the name is not well formed. */
  variable(name: string): (request: Request) => string;
  /** `plugin_metadata` of this plugin, as written; empty when there is none. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** A counter shared by all workers and shown in /metrics, labelled with plugin and route. */
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** Windows counted exactly over all workers. */
  readonly windows: WindowTable;
  /** What is in use now, counted exactly over all workers. */
  readonly occupancy: OccupancyTable;
  /** For connections that the plugin makes itself. `client` and `upstream` keep to it by themselves. */
  readonly targets: Targets;
  /**
   * Another upstream than the route's own, that connections may use: `session.useUpstream(…)` in a connect hook. It is
   * an upstream resource's id, or what could stand in a route's `upstream`. After a change of the configuration a
   * connection goes on with what has the same `name` then; with the route's own where nothing has.
   */
  upstream(name: string, upstream: string | object): UpstreamChoice;
  /**
   * A variable of the route's requests, for formats, filters and keys: asked only where one reads it. `read` may remember
   * what it said by the request.
   */
  provide(name: string, read: (request: Request) => string): void;
  /** An answer in the route's protocol, of a JSON value: `request.settle(answer(request.session))`. Throws where it has none. */
  reply(value: unknown): (session: Session) => Reply;
  /** Requests of the plugin's own, through links of Millrace's. `upstream` as in a route's `upstream`. */
  client(protocol: string, upstream: unknown): Client;
}

/** Made by `context.upstream`. */
export interface UpstreamChoice {
  readonly name: string;
}

export interface Counter {
  add(amount?: number): void;
}

export interface Gauge {
  set(value: number): void;
}

/** Requests of our own: probes, counters kept in a Redis. */
export interface Client {
  /** Rejects with a ProxyError when there is no answer within `timeout` ms; a server's error reply rejects too. */
  call(command: readonly (string | Buffer)[], timeout?: number): Promise<unknown>;
  close(): void;
}

/** Counts per (name, key) in shared memory: synchronous, and exact over all workers of this process. */
export interface WindowTable {
  /**
   * Takes one from the fixed window of `length` ms that `now` lies in, unless `limit` is reached.
   * Answers what is left afterwards, or -1 when nothing was (and nothing was taken).
   */
  takeFixed(id: string, limit: number, length: number, now: number): number;
  /** The same over a sliding window: the count of the window before is weighted by how much of it still overlaps. */
  takeSliding(id: string, limit: number, length: number, now: number): number;
  /** Forgets a window: whoever uses the id next begins anew. */
  forget(id: string): void;
  /** What is left now, without taking. */
  left(id: string, limit: number, length: number, now: number, sliding: boolean): number;
}

/** A place that was taken; `used` are those in use with it. */
export interface Occupied {
  readonly slot: number;
  readonly used: number;
}

/** Places per key in shared memory: synchronous, exact over all workers, and given back when a worker dies. */
export interface OccupancyTable {
  /** Null: `limit` places are in use. What was taken has to be given back once. */
  take(id: string, limit: number): Occupied | null;
  give(place: Occupied): void;
  /** How many are in use. */
  used(id: string): number;
}

/** Types a plugin's configuration for its author; does nothing else. */
export function definePlugin<Conf>(plugin: Plugin<Conf>): Plugin<Conf> {
  return plugin;
}
