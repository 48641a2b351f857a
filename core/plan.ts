// A route compiled when configuration changes: hooks per phase, and where requests go. Requests run plans, reloads
// replace them; a plan is retired when the last request that it was asked for is logged.
import { ConsumerPlans, type ConsumerSource } from './consumer-plans.ts';
import type { ErrorCode } from './errors.ts';
import type { PlaceWarning } from './place-warnings.ts';
import type { Hooks } from './plugin.ts';
import type { Backend } from './protocol.ts';
import type { Request } from './request.ts';
import type { RouteMetrics } from './route-metrics.ts';
import type { Session } from './session.ts';

export type Report = (code: ErrorCode, cause: unknown) => void;

export type PlaceSource = 'global' | 'route' | 'protocol' | 'logger' | 'consumer';

/** One plugin configured in one place, set up. */
export interface Place {
  readonly plugin: string;
  readonly version: string;
  readonly priority: number;
  readonly hooks: Hooks;
  /** Of `last-plugin.ts`. */
  readonly mark: number;
  /** Says in the log, at a limited rate, that a hook failed. */
  readonly report: Report;
  /** What its hooks fail at goes on, instead of being refused. */
  readonly failsOpen?: boolean;
  /** Where it is configured. */
  readonly source: PlaceSource;
  /** What is accepted and does nothing. */
  readonly warnings?: readonly PlaceWarning[];
  /** Its series go. Called after its hooks were closed. */
  readonly release?: () => void;
}

export interface RequestHook {
  readonly run: (request: Request) => void | Promise<void>;
  readonly failsOpen: boolean;
  readonly maxWait: number;
  readonly mark: number;
  readonly report: Report;
}

export interface Observer {
  readonly failsOpen: boolean;
  readonly select: ((request: Request) => boolean) | null;
  readonly response: ((request: Request) => void) | null;
  readonly log: ((request: Request) => void) | null;
  /** Its bit in `request.skipped`. */
  readonly bit: number;
  readonly mark: number;
  readonly report: Report;
}

export interface PlanOptions {
  readonly routeId: string;
  readonly places: readonly Place[];
  readonly backend: Backend;
  /** Backends of the upstreams that plugins may choose for a session, by name. */
  readonly others?: ReadonlyMap<string, Backend>;
  /** Variables that places provide. */
  readonly variables?: ReadonlyMap<string, (request: Request) => string>;
  readonly metrics: RouteMetrics;
  /** Longest time in ms that a request hook may wait when its plugin declares nothing. */
  readonly requestTimeout: number;
  /** Absent: all users have the same plan. */
  readonly consumers?: ConsumerSource;
  /** The route's plan, of which this is a consumer's. It lasts as long as this does, and closes what they share. */
  readonly base?: Plan;
}

export class Plan {
  readonly routeId: string;
  readonly places: readonly Place[];
  readonly backend: Backend;
  readonly metrics: RouteMetrics;
  readonly connect: readonly Place[];
  /** Null where no place has the hook: the hot path asks one question. */
  readonly request: readonly RequestHook[] | null;
  readonly observers: readonly Observer[] | null;
  readonly response: readonly Observer[] | null;
  readonly log: readonly Observer[] | null;
  /** No hook keeps a request that nobody wants, and somebody is asked who wants it. */
  readonly transient: boolean;
  /** Connect hooks of a consumer's own: they run when it is known who the client is. */
  readonly arrival: readonly Place[];
  readonly requestTimeout: number;
  /** Null in a consumer's own. */
  readonly consumers: ConsumerPlans | null;
  readonly #base: Plan | null;
  readonly #others: ReadonlyMap<string, Backend> | undefined;
  readonly #variables: ReadonlyMap<string, (request: Request) => string> | undefined;
  #underWay = 0;
  #retired = false;
  readonly #closed = Promise.withResolvers<void>();

  constructor(options: PlanOptions) {
    const { places } = options;
    this.routeId = options.routeId;
    this.places = places;
    this.backend = options.backend;
    this.#others = options.others;
    this.#variables = options.variables;
    this.metrics = options.metrics;
    this.requestTimeout = options.requestTimeout;
    this.consumers = options.consumers === undefined ? null : new ConsumerPlans(this, options.consumers);
    this.#base = options.base ?? null;
    this.#base?.enter();
    this.arrival = places.filter((place) => place.source === 'consumer' && place.hooks.connect !== undefined);
    this.connect = places.filter((place) => place.hooks.connect !== undefined);
    this.request = filled(places.filter((place) => place.hooks.request !== undefined).map((place) => ({
      run: place.hooks.request!.bind(place.hooks),
      failsOpen: place.failsOpen === true,
      maxWait: place.hooks.maxWait ?? options.requestTimeout,
      mark: place.mark,
      report: place.report,
    })));
    const observers = places
      .filter(({ hooks }) => hooks.response !== undefined || hooks.log !== undefined)
      .map((place, index) => observer(place, index));
    this.observers = filled(observers);
    this.response = filled(observers.filter((each) => each.response !== null));
    this.log = filled(observers.filter((each) => each.log !== null));
    // What a variable says of a request is remembered with its object.
    this.transient = places.every(letsGo) && (this.#variables?.size ?? 0) === 0;
  }

  /** Where a session's requests go: what a plugin chose for it, as long as there is such an upstream. */
  backendOf(session: Session): Backend {
    const { upstreamName } = session;
    if (upstreamName === null) return this.backend;
    return this.#others?.get(upstreamName) ?? this.#base?.backendOf(session) ?? this.backend;
  }

  /** The plan for requests of a user, who may be a consumer with plugins of his own. */
  for(user: string | null): Plan {
    return user === null || this.consumers === null ? this : (this.consumers.for(user) ?? this);
  }

  get variables(): ReadonlyMap<string, (request: Request) => string> {
    return this.#variables ?? new Map();
  }

  /** A variable that one of its places provides. */
  variable(name: string, request: Request): string | undefined {
    return this.#variables?.get(name)?.(request);
  }

  /** A request begins to be handled by this plan's hooks. */
  enter(): void {
    this.#underWay++;
  }

  /** It was logged. */
  leave(): void {
    if (--this.#underWay === 0 && this.#retired) this.#close();
  }

  /** No request will enter any more. Resolves when the last one left and the hooks are closed. */
  retire(): Promise<void> {
    if (!this.#retired) {
      this.consumers?.retire();
      this.#retired = true;
      if (this.#underWay === 0) this.#close();
    }
    return this.#closed.promise;
  }

  #close(): void {
    // The upstreams of all of them go with the first.
    for (const other of this.#others?.values() ?? []) other.close();
    const own = this.#base === null ? this.places : this.places.filter(({ source }) => source === 'consumer');
    if (this.#base === null) {
      this.backend.close();
      this.metrics.release();
    }
    void Promise.all(own.map(closePlace)).then(() => {
      this.#closed.resolve();
      this.#base?.leave();
    });
  }

  /** Tells the places that a connection ended. */
  disconnected(session: Session, reason: string): void {
    for (const { hooks, report } of this.places) {
      try {
        hooks.disconnect?.(session, reason);
      } catch (cause) {
        report('PLUGIN_FAILED', cause);
      }
    }
  }
}

async function closePlace({ hooks, report, release }: Place): Promise<void> {
  try {
    await hooks.close?.();
  } catch (cause) {
    report('PLUGIN_FAILED', cause);
  }
  release?.();
}

function letsGo({ hooks }: Place): boolean {
  const answered = hooks.response !== undefined || hooks.log !== undefined;
  if (hooks.request === undefined && !answered) return true;
  return hooks.transient === true && (!answered || hooks.select !== undefined);
}

function observer(place: Place, index: number): Observer {
  const { hooks } = place;
  return {
    failsOpen: place.failsOpen === true,
    select: hooks.select === undefined ? null : hooks.select.bind(hooks),
    response: hooks.response === undefined ? null : hooks.response.bind(hooks),
    log: hooks.log === undefined ? null : hooks.log.bind(hooks),
    // 31 places per route are plenty; a later one is always called.
    bit: index < 31 ? 1 << index : 0,
    mark: place.mark,
    report: place.report,
  };
}

function filled<T>(list: T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}
