// A drawn route → a plan that can run: its upstreams, its backend, its plugins set up, for each consumer with his own among them.
import type { Resource } from './config/resource.ts';
import type { ConsumerSource } from './consumer-plans.ts';
import { pluginsIn, type Blueprint, type Drawing } from './drawing.ts';
import type { Engine } from './engine.ts';
import { ProxyError } from './errors.ts';
import { PlaceBuilder, type OpenUpstream } from './place.ts';
import { Plan, type Place, type PlanOptions } from './plan.ts';
import type { Hooks, Targets } from './plugin.ts';
import type { Backend, Protocol } from './protocol.ts';
import type { Registry } from './registry.ts';
import { rejection } from './rejection.ts';
import type { Request } from './request.ts';
import { RouteMetrics } from './route-metrics.ts';
import { idleParts } from './route-warnings.ts';
import type { Route } from './route.ts';
import { tcp } from './tcp.ts';
import type { NodeTable } from './upstream/node.ts';
import { Upstream, type Surroundings, type UpstreamConf } from './upstream/upstream.ts';

export interface BuilderOptions {
  readonly engine: Engine;
  readonly registry: Registry;
  readonly nodes: NodeTable;
  readonly targets: Targets;
  /** Absent: upstreams have neither checks nor discovery. */
  readonly surroundings?: Surroundings;
  /** One worker of all says what is accepted and does nothing; default true. */
  readonly warns?: boolean;
}

/** A plan that is ready to take its cell. */
export interface Swap {
  readonly upstream: Upstream | null;
  readonly route: Route;
  readonly plan: Plan;
  readonly conf: unknown;
}

/** Of nodes that name none. */
export const defaultPort = 6379;

export class RouteBuilder {
  readonly #options: BuilderOptions;
  readonly #places: PlaceBuilder;
  readonly #drawing: Drawing;
  readonly #metadata = (plugin: string): Readonly<Record<string, unknown>> => this.#drawing.metadata(plugin);

  constructor(options: BuilderOptions, drawing: Drawing) {
    this.#options = options;
    this.#places = new PlaceBuilder(options);
    this.#drawing = drawing;
  }

  /** `cell`: that of the plan before it, which it may take. Throws ProxyError; nothing stays open then. */
  build(blueprint: Blueprint, cell: Route | undefined): Swap {
    const { engine, registry } = this.#options;
    const { id, value } = blueprint;
    const name = value.protocol?.name ?? 'tcp';
    const protocol: Protocol | undefined = name === 'tcp' ? tcp : registry.protocols.get(name)?.value;
    if (protocol === undefined) throw new ProxyError('CONFIG_INVALID', `unknown protocol [${name}]`);
    const conf = structuredClone(value.protocol?.conf ?? {});
    registry.protocols.get(name)?.validate(conf);
    const opened: Upstream[] = [];
    const open = (upstream: UpstreamConf | null, upstreamId: string): Upstream | null => {
      if (upstream === null) return null;
      const { nodes: table, surroundings } = this.#options;
      const made = new Upstream({ conf: upstream, table, limits: engine.limits, defaultPort, id: upstreamId, surroundings });
      opened.push(made);
      if (upstream.scheme === 'tls' && upstream.tls?.verify === false) {
        engine.log.warn({ code: 'TLS_UNVERIFIED', route: id }, 'upstream.tls.verify is false: anybody may pose as the node');
      }
      return made;
    };
    if (this.#options.warns !== false) {
      for (const text of idleParts(blueprint, blueprint.upstream, blueprint.subordinates)) engine.log.warn({ code: 'CONFIG_IDLE', route: id }, text);
    }
    const others = new Map<string, Backend>();
    try {
      const upstream = open(blueprint.upstream, id);
      const subordinates = blueprint.subordinates.map((each) => ({
        routeId: each.id, conf: each.value.protocol?.conf ?? {}, upstream: open(each.upstream, each.id)!,
      }));
      const perOperation = value.protocol?.metric?.enable === true;
      const make = (to: Upstream | null): Backend =>
        protocol.backend({ routeId: id, conf, engine, upstream: to, subordinates, perOperation });
      const backend = make(upstream);
      const openOther: OpenUpstream = (plugin, called, chosen) => {
        let key = `${plugin} ${called}`;
        // The same plugin may stand in a global rule and in the route.
        while (others.has(key)) key += '+';
        others.set(key, make(open(this.#drawing.chosen(chosen, name), `${id} ${key}`)));
        return { name: key };
      };
      const variables = new Map<string, (request: Request) => string>();
      const provide = (variable: string, read: (request: Request) => string): void => void variables.set(variable, read);
      const places = this.#places.build({ id, protocol, metadata: this.#metadata, open: openOther, provide, variables }, value, this.#drawing.globals, conf);
      const plan = new Plan({
        routeId: id,
        places,
        backend: closing(backend, opened),
        others,
        variables,
        metrics: new RouteMetrics(engine.metrics, id, name),
        requestTimeout: engine.limits.requestTimeout,
        consumers: this.#consumersOf(protocol, make),
      });
      const route = cell !== undefined && cell.protocol === name ? cell : { id, protocol: name, conf, plan: null };
      return { route, plan, conf, upstream };
    } catch (cause) {
      for (const other of others.values()) other.close();
      for (const upstream of opened) upstream.close();
      throw cause;
    }
  }

  /** `make`: where requests go that a consumer's plugins send to another upstream. */
  #consumersOf(protocol: Protocol, make: (to: Upstream) => Backend): ConsumerSource {
    return {
      consumers: () => this.#drawing.consumers,
      textOf: (consumer) => this.#drawing.textOf(consumer),
      build: (base, consumer, old) => {
        try {
          return this.#buildFor(base, consumer, protocol, make);
        } catch (cause) {
          const { code, text } = rejection('consumers', consumer.id, cause);
          this.#options.engine.log.error({ code, kind: 'consumers', id: consumer.id, route: base.routeId }, text);
          return old ?? refusing(base);
        }
      },
    };
  }

  /** The plan of a route with a consumer's plugins in it. */
  #buildFor(base: Plan, { id: user, value }: Resource, protocol: Protocol, make: (to: Upstream) => Backend): Plan {
    const { engine, nodes, surroundings } = this.#options;
    const id = placeId(base.routeId, user);
    const others = new Map<string, Backend>();
    const open: OpenUpstream = (plugin, called, chosen) => {
      const key = `${id} ${plugin} ${called}`;
      const conf = this.#drawing.chosen(chosen, protocol.name);
      const upstream = new Upstream({ conf, table: nodes, limits: engine.limits, defaultPort, id: key, surroundings });
      others.set(key, closing(make(upstream), [upstream]));
      return { name: key };
    };
    const variables = new Map(base.variables);
    const provide = (name: string, read: (request: Request) => string): void => void variables.set(name, read);
    try {
      const places = this.#places.buildAmong(base.places, { id, protocol, metadata: this.#metadata, open, provide, variables }, pluginsIn(value));
      return consumerPlan(base, { places, others, variables });
    } catch (cause) {
      for (const other of others.values()) other.close();
      throw cause;
    }
  }
}

/** What a consumer's plugins are set up for: their counts and series are his own, on each route. */
export function placeId(route: string, user: string): string {
  return `${route}/${user}`;
}

function consumerPlan(base: Plan, own: Pick<PlanOptions, 'places' | 'others' | 'variables'>): Plan {
  const { routeId, backend, metrics, requestTimeout } = base;
  return new Plan({ routeId, backend, metrics, requestTimeout, base, ...own });
}

/** For a consumer whose plugins cannot be set up and never were: what should hold him back must not be left out. */
function refusing(base: Plan): Plan {
  const hooks: Hooks = { request: (request) => request.settle(new ProxyError('PLUGIN_FAILED')) };
  const gate: Place = { plugin: '', version: '', priority: 0, source: 'consumer', hooks, mark: 0, report: () => undefined };
  return consumerPlan(base, { places: [gate, ...base.places], variables: base.variables });
}

/** The upstreams go when the backend does. */
function closing(backend: Backend, upstreams: readonly Upstream[]): Backend {
  const close = backend.close.bind(backend);
  backend.close = () => {
    close();
    for (const upstream of upstreams) upstream.close();
  };
  return backend;
}
