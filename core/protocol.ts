// What a protocol is: a door (requests in, replies out) and a backend (where requests go). A protocol file exports
// one by default; `millrace new protocol` writes a first one.
import type { Connection } from './connection.ts';
import type { Engine } from './engine.ts';
import type { Reply, Request } from './request.ts';
import type { Route } from './route.ts';
import type { JsonSchema } from './schema.ts';
import type { Session } from './session.ts';
import type { ProbeTarget } from './upstream/probe.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { Client, Hooks } from './plugin.ts';

export interface Protocol<Conf = any> {
  readonly name: string;
  /** Of `protocol.conf`. */
  readonly schema: JsonSchema;
  readonly door: Door;
  /**
   * Variables that its requests and sessions know, beside those that all have: other names in configurations are warned
   * about. Absent: nobody knows, and nothing is said.
   */
  readonly variables?: readonly string[];
  /** What the schema cannot say. */
  check?(conf: Conf): readonly string[];
  /** Compiled once per route and configuration. `superior` is the route that this one is subordinate to. */
  backend(options: BackendOptions<Conf>): Backend;
  /** Hooks that the protocol's own configuration asks for, e.g. `faults`. */
  places?(conf: Conf): readonly ProtocolPlace[];
  /** An embedded server to try things with: what an upstream of `type: memory` is. */
  embedded?(): EmbeddedServer;
  /**
   * Whether a node is well, for `checks.active.type` of this protocol's name: resolves, or rejects with a ProbeFailure.
   * Gives up when the signal says so.
   */
  probe?(target: ProbeTarget, signal: AbortSignal): Promise<void>;
  /**
   * A reply as configuration writes it (JSON), for plugins that answer by themselves. Compiled once; throws a ProxyError
   * where the protocol has no such value.
   */
  reply?(value: unknown): (session: Session) => Reply;
  /** Requests of our own: plugins that keep counters in a server. */
  client?(upstream: Upstream, engine: Engine): Client;
}

export interface ProtocolPlace {
  readonly name: string;
  readonly priority: number;
  readonly hooks: Hooks;
}

export interface Door {
  /** Begins to serve a connection. The session pulls requests as bytes arrive. */
  open(connection: Connection, route: Route, engine: Engine): Session;
  /** Bytes that tell a client why it is not served (too many connections, no route); null: close silently. */
  refuse?(text: string): Buffer | null;
}

export interface BackendOptions<Conf = any> {
  readonly routeId: string;
  readonly conf: Conf;
  readonly upstream: Upstream | null;
  readonly engine: Engine;
  /** Routes subordinate to this one (`protocol.superior_id`), compiled, in matching order. */
  readonly subordinates: readonly { readonly routeId: string; readonly conf: Conf; readonly upstream: Upstream }[];
  /** `protocol.metric.enable`: count and time every operation on its own. */
  readonly perOperation: boolean;
}

export interface Backend {
  /** Settles it exactly once, now or later; one that is not enqueued may travel in a run of its session. */
  send(request: Request): void;
  close(): void;
  /** What would become of an operation, for `explain`: its words as a person writes them, the name first. Does nothing. */
  explain?(words: readonly string[]): OperationExplained;
}

export interface OperationExplained {
  readonly operation: string;
  readonly keys: readonly string[];
  /** How it travels, as the end of a sentence. */
  readonly treatment: string;
  /** Why the protocol does not pass it on; null: it does. */
  readonly refused: string | null;
  /** Faults of the protocol's own configuration that it would meet. */
  readonly faults: readonly object[];
  /** Whose upstream answers it: the route, or one that is subordinate to it. */
  readonly route: string;
  readonly nodes: readonly { readonly address: string; readonly available: boolean; readonly weight: number; readonly priority: number }[];
  /** Subordinate routes that it does not go to. */
  readonly others: readonly { readonly route: string; readonly why: string }[];
}

export interface EmbeddedServer {
  listen(port?: number, host?: string): Promise<number>;
  close(): Promise<void>;
}

/** Types a protocol's configuration for its author; does nothing else. */
export function defineProtocol<Conf>(protocol: Protocol<Conf>): Protocol<Conf> {
  return protocol;
}
