// (old configuration, new one) → running routes. What is equal is kept, what is new is built before anything old is
// touched, cells are swapped in one turn, and the old is retired when its last request is logged. A resource that
// cannot be built keeps its last good version and is reported; the others go on.
import { effectiveRoute, globalPlugins, type EffectiveRoute, type Find } from './config/effective.ts';
import type { Kind, Resource } from './config/resource.ts';
import type { Config } from './config/source.ts';
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { ConsumerSource } from './consumer-plans.ts';
import type { Engine } from './engine.ts';
import { ProxyError } from './errors.ts';
import { loopOf, type OwnListeners } from './own-loops.ts';
import { PlaceBuilder, type OpenUpstream } from './place.ts';
import { idleParts } from './route-warnings.ts';
import { Plan, type Place, type PlanOptions } from './plan.ts';
import type { Hooks, Targets } from './plugin.ts';
import type { Rejection } from './plane.ts';
import type { Backend, Protocol } from './protocol.ts';
import type { Registry } from './registry.ts';
import type { Request } from './request.ts';
import { RouteMetrics } from './route-metrics.ts';
import type { Route } from './route.ts';
import { Router } from './router.ts';
import { tcp } from './tcp.ts';
import { certificateIdsIn, withClientCredential } from './tls/client-credential.ts';
import type { NodeTable } from './upstream/node.ts';
import { Upstream, type Surroundings, type UpstreamConf } from './upstream/upstream.ts';

export interface RoutesOptions {
  readonly engine: Engine;
  readonly registry: Registry;
  readonly nodes: NodeTable;
  readonly targets: Targets;
  /** Absent: upstreams have neither checks nor discovery. */
  readonly surroundings?: Surroundings;
  /** Protocols that have a default route, for listeners whose clients no stream route matches; and its upstream. */
  readonly defaults?: { readonly protocols: readonly string[]; readonly upstream: UpstreamConf };
  /** Absent: nobody tells of routes that lead to themselves. */
  readonly own?: OwnListeners;
  /** One worker of all says what is accepted and does nothing; default true. */
  readonly warns?: boolean;
}

interface Built {
  readonly route: Route;
  readonly value: StreamRouteValue;
  /** Everything it was made of, as text: equal text, equal route. */
  readonly made: string;
  readonly inputs: Inputs;
  readonly upstream: Upstream | null;
}

/** What was looked at while a route was drawn. While all of it is the same, so is the route, without drawing it. */
interface Inputs {
  readonly resource: Resource;
  readonly globals: PluginConfs;
  readonly registry: number;
  readonly subordinates: readonly Resource[];
  readonly looks: readonly { readonly look: () => unknown; readonly found: unknown }[];
}

interface Blueprint {
  readonly id: string;
  /** With what its service and plugin config say. */
  readonly value: EffectiveRoute;
  readonly upstream: UpstreamConf | null;
  readonly subordinates: readonly Blueprint[];
  readonly made: string;
}

/** A plan that is ready to take its cell. */
interface Swap {
  readonly upstream: Upstream | null;
  readonly route: Route;
  readonly plan: Plan;
  readonly conf: unknown;
}

/** Of nodes that name none. */
export const defaultPort = 6379;
const none: readonly Resource[] = [];
/** No resource's id begins so. */
const defaultPrefix = '~';

function defaultKey(protocol: string): string {
  return defaultPrefix + protocol;
}

export class Routes {
  readonly #options: RoutesOptions;
  readonly #places: PlaceBuilder;
  #built = new Map<string, Built>();
  #config: Config | null = null;
  #embedded: ReadonlyMap<string, string> = new Map();
  #globals: PluginConfs = {};
  /** Of the global rules that `#globals` came from. */
  #rules: unknown = null;
  /** By superior. */
  #subordinates: ReadonlyMap<string, readonly Resource[]> = new Map();
  #looks: { look: () => unknown; found: unknown }[] = [];
  /** Those with plugins, by user name. A map of its own for each configuration applied. */
  #consumers: ReadonlyMap<string, Resource> = new Map();
  router: Router = new Router([]);

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#places = new PlaceBuilder(options);
  }

  get places(): readonly (readonly [route: string, place: Place])[] {
    return [...this.#built.values()].flatMap(({ route: { id, plan } }) => [
      ...(plan?.places ?? []).map((place) => [id, place] as const),
      ...[...plan?.consumers?.plans ?? []].flatMap(([user, own]) =>
        own.places.filter(({ source }) => source === 'consumer').map((place) => [placeId(id, user), place] as const)),
    ]);
  }

  /** Routes that connections may match, with what they ask for. */
  get matched(): readonly (readonly [id: string, conf: StreamRouteValue])[] {
    return [...this.#built].filter(([key]) => !key.startsWith(defaultPrefix)).map(([key, { value }]) => [key, value] as const);
  }

  upstreamOf(route: Route): Upstream | null {
    for (const built of this.#built.values()) if (built.route === route) return built.upstream;
    return null;
  }

  /** Builds and swaps. `embedded`: protocol → `host:port` of its embedded server. */
  apply(config: Config, embedded: ReadonlyMap<string, string>): readonly Rejection[] {
    this.#config = config;
    this.#embedded = embedded;
    if (this.#rules !== config.resources.global_rules) {
      this.#rules = config.resources.global_rules;
      this.#globals = globalPlugins(config);
    }
    const resources = config.resources.stream_routes;
    this.#subordinates = bySuperior(resources);
    const rejections: Rejection[] = [];
    const next = new Map<string, Built>();
    const plans: Swap[] = [];
    for (const resource of resources.values()) {
      const value = resource.value as StreamRouteValue;
      if (value.status === 0 || value.protocol?.superior_id !== undefined) continue;
      this.#addRoute(next, plans, rejections, resource.id, resource);
    }
    this.#addDefaults(next, plans, rejections);
    this.#consumers = new Map([...config.resources.consumers].filter(([, { value }]) => Object.keys(pluginsIn(value)).length > 0));
    this.#options.engine.consumers = config.resources.consumers;
    void this.#swap(next, plans);
    if (this.#options.warns !== false) for (const { route, upstream } of plans) this.#warnOfLoop(route, upstream);
    for (const { route } of next.values()) route.plan?.consumers?.follow();
    return rejections;
  }

  #warnOfLoop(route: Route, upstream: Upstream | null): void {
    const { own, engine } = this.#options;
    if (own === undefined || upstream === null || upstream.tls !== undefined) return;
    const { router } = this;
    const node = loopOf(route, upstream.nodes, { own, ports: router.ports, taker: (origin, { protocol }) => router.match(origin) ?? this.fallback(protocol) });
    if (node === null) return;
    engine.log.warn({ code: 'CONFIG_LOOP', route: route.id, node: node.address }, `the node ${node.address} is our own listener, where the same route takes the connection again`);
  }

  /** Where a listener's clients go that no stream route matches. */
  fallback(protocol: string | undefined): Route | null {
    return protocol === undefined ? null : (this.#built.get(defaultKey(protocol))?.route ?? null);
  }

  #addDefaults(next: Map<string, Built>, plans: Swap[], rejections: Rejection[]): void {
    const { defaults } = this.#options;
    for (const protocol of defaults?.protocols ?? []) {
      const key = defaultKey(protocol);
      const value = { upstream: defaults!.upstream, protocol: { name: protocol } } as StreamRouteValue;
      const resource = { kind: 'stream_routes', id: 'default', value, origin: 'file', createdIndex: 0, modifiedIndex: 0 } as const;
      this.#addRoute(next, plans, rejections, key, { ...resource, value: value as Resource['value'] });
    }
  }

  /** Builds the plans anew that use a plugin or a protocol whose code changed. */
  refresh(): readonly Rejection[] {
    return this.#config === null ? [] : this.apply(this.#config, this.#embedded);
  }

  /** Resolves when the hooks of all plans are closed. */
  async close(): Promise<void> {
    await this.#swap(new Map(), []);
  }

  #addRoute(
    next: Map<string, Built>, plans: Swap[], rejections: Rejection[], key: string, resource: Resource,
  ): void {
    const old = this.#built.get(key);
    if (old !== undefined && this.#same(old.inputs, resource)) {
      next.set(key, old);
      return;
    }
    try {
      this.#looks = [];
      const blueprint = this.#draw(resource, this.#subordinatesOf(resource));
      const inputs = this.#inputs(resource);
      if (old !== undefined && old.made === blueprint.made) {
        next.set(key, { ...old, inputs });
        return;
      }
      const swap = this.#build(blueprint, old?.route);
      plans.push(swap);
      next.set(key, { route: swap.route, value: blueprint.value, made: blueprint.made, inputs, upstream: swap.upstream });
    } catch (cause) {
      rejections.push(rejection('stream_routes', resource.id, cause));
      if (old !== undefined) next.set(key, old);
    }
  }

  #swap(next: Map<string, Built>, plans: readonly Swap[]): Promise<unknown> {
    const retired: Plan[] = [];
    for (const { route, plan, conf } of plans) {
      if (route.plan !== null) retired.push(route.plan);
      route.conf = conf;
      route.plan = plan;
    }
    for (const [id, old] of this.#built) {
      if (next.get(id)?.route === old.route) continue;
      if (old.route.plan !== null) retired.push(old.route.plan);
      old.route.plan = null;
    }
    this.#built = next;
    this.router = new Router([...next]
      .filter(([key]) => !key.startsWith(defaultPrefix))
      .map(([, { route, value }]) => ({ route, conf: value })));
    return Promise.all(retired.map((plan) => plan.retire()));
  }

  #inputs(resource: Resource): Inputs {
    return {
      resource, globals: this.#globals, registry: this.#options.registry.version,
      subordinates: this.#subordinatesOf(resource), looks: this.#looks,
    };
  }

  #same(inputs: Inputs, resource: Resource): boolean {
    return inputs.resource === resource && inputs.globals === this.#globals
      && inputs.registry === this.#options.registry.version
      && sameList(inputs.subordinates, this.#subordinatesOf(resource))
      && inputs.looks.every(({ look, found }) => look() === found);
  }

  #subordinatesOf({ id }: Resource): readonly Resource[] {
    return this.#subordinates.get(id) ?? none;
  }

  #find: Find = (kind, id) => this.#look(() => this.#config!.resources[kind].get(id));

  /** Whatever a route is drawn from is asked for here, and asked for again before the route is taken for unchanged. */
  #look<T>(look: () => T): T {
    const found = look();
    this.#looks.push({ look, found });
    return found;
  }

  #draw(resource: Resource, others: readonly Resource[]): Blueprint {
    const value = effectiveRoute(resource.value, this.#find);
    const upstream = this.#upstreamOf(value);
    const subordinates = others
      .filter((other) => (other.value as StreamRouteValue).protocol?.name === value.protocol?.name)
      .map((other) => this.#draw(other, none));
    const made = JSON.stringify([
      value, upstream, this.#globals, subordinates.map((each) => [each.id, each.made]), this.#codeOf(value),
      this.#metadataOf(value), this.#upstreamsOf(value),
    ]);
    return { id: resource.id, value, upstream, subordinates, made };
  }

  #upstreamOf(value: EffectiveRoute): UpstreamConf | null {
    return value.upstream === undefined ? null : this.#located(value.upstream, value.protocol?.name ?? 'tcp');
  }

  /** With the address of the embedded server, where that is what it leads to, and with the certificate that it names. */
  #located(conf: UpstreamConf, protocol: string): UpstreamConf {
    if (conf.type !== 'memory') return withClientCredential(conf, this.#find);
    const address = this.#look(() => this.#embedded.get(protocol));
    if (address === undefined) {
      throw new ProxyError('CONFIG_INVALID', `upstream.type: expected nodes, because protocol ${protocol} has no embedded server; `
        + 'those of a listener\'s default route stand in MILLRACE_UPSTREAM');
    }
    return { ...conf, type: 'roundrobin', nodes: { [address]: 1 } };
  }

  /** Which code it runs: a reloaded plugin makes a new plan. */
  #codeOf(value: StreamRouteValue): unknown {
    const { registry } = this.#options;
    return [
      registry.protocols.get(value.protocol?.name ?? '')?.generation ?? 0,
      ...this.#pluginsOf(value).map((name) => registry.plugins.get(name)?.generation ?? 0),
    ];
  }

  #metadataOf(value: StreamRouteValue): unknown {
    return this.#pluginsOf(value).map((name) => this.#find('plugin_metadata', name)?.value ?? null);
  }

  /** Upstreams that its plugins name, and the certificates that these and those of its plugins' own name. */
  #upstreamsOf(value: EffectiveRoute): unknown {
    return [this.#globals, value.plugins ?? {}].flatMap((plugins) => Object.entries(plugins)).flatMap(([name, conf]) => {
      const named = this.#options.registry.plugins.get(name)?.value.refers?.(conf) ?? [];
      const upstreams = named.map(({ kind, id }) => this.#find(kind, id)?.value ?? null);
      return [...upstreams, ...certificateIdsIn([conf, upstreams]).map((id) => this.#find('ssls', id)?.value ?? null)];
    });
  }

  /** An upstream that a plugin named, or that stands in its configuration. */
  #chosen(chosen: string | object): UpstreamConf {
    if (typeof chosen !== 'string') return chosen;
    const found = this.#config!.resources.upstreams.get(chosen)?.value;
    if (found === undefined) throw new ProxyError('CONFIG_INVALID', `failed to fetch upstream info by upstream id: ${chosen}`);
    return found;
  }

  #pluginsOf(value: StreamRouteValue): string[] {
    const loggers = (value.protocol?.logger ?? []).map(({ name }) => name);
    return [...Object.keys(this.#globals), ...Object.keys(value.plugins ?? {}), ...loggers];
  }

  /** `make`: where requests go that a consumer's plugins send to another upstream. */
  #consumersOf(protocol: Protocol, make: (to: Upstream) => Backend): ConsumerSource {
    return {
      consumers: () => this.#consumers,
      textOf: ({ value }) => {
        this.#looks = [];
        const own = { plugins: pluginsIn(value) } as EffectiveRoute;
        return JSON.stringify([own, this.#codeOf(own), this.#metadataOf(own), this.#upstreamsOf(own)]);
      },
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
      const conf = this.#located(this.#chosen(chosen), protocol.name);
      const upstream = new Upstream({ conf, table: nodes, limits: engine.limits, defaultPort, id: key, surroundings });
      others.set(key, closing(make(upstream), [upstream]));
      return { name: key };
    };
    const variables = new Map(base.variables);
    const provide = (name: string, read: (request: Request) => string): void => void variables.set(name, read);
    const metadata = (plugin: string): Readonly<Record<string, unknown>> =>
      this.#config!.resources.plugin_metadata.get(plugin)?.value ?? {};
    try {
      const places = this.#places.buildAmong(base.places, { id, protocol, metadata, open, provide, variables }, pluginsIn(value));
      return consumerPlan(base, { places, others, variables });
    } catch (cause) {
      for (const other of others.values()) other.close();
      throw cause;
    }
  }

  #build(blueprint: Blueprint, cell: Route | undefined): Swap {
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
        others.set(key, make(open(this.#located(this.#chosen(chosen), name), `${id} ${key}`)));
        return { name: key };
      };
      const variables = new Map<string, (request: Request) => string>();
      const provide = (variable: string, read: (request: Request) => string): void => void variables.set(variable, read);
      const metadata = (plugin: string): Readonly<Record<string, unknown>> =>
        this.#config!.resources.plugin_metadata.get(plugin)?.value ?? {};
      const places = this.#places.build({ id, protocol, metadata, open: openOther, provide, variables }, value, this.#globals, conf);
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
}

/** What a consumer's plugins are set up for: their counts and series are his own, on each route. */
function placeId(route: string, user: string): string {
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

function pluginsIn(value: Resource['value']): PluginConfs {
  return (value['plugins'] ?? {}) as PluginConfs;
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

function bySuperior(routes: ReadonlyMap<string, Resource>): ReadonlyMap<string, readonly Resource[]> {
  const found = new Map<string, Resource[]>();
  for (const resource of routes.values()) {
    const { protocol, status } = resource.value as StreamRouteValue;
    if (status === 0 || protocol?.superior_id === undefined) continue;
    const superior = String(protocol.superior_id);
    found.set(superior, [...found.get(superior) ?? none, resource]);
  }
  return found;
}

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i]);
}

export function rejection(kind: Kind, id: string, cause: unknown): Rejection {
  const code = cause instanceof ProxyError ? cause.code : 'CONFIG_INVALID';
  return { kind, id, code, text: cause instanceof Error ? cause.message : String(cause) };
}
