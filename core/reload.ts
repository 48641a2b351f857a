// (old configuration, new one) → running routes. What is equal is kept, what is new is built before anything old is
// touched, cells are swapped in one turn, and the old is retired when its last request is logged. A resource that
// cannot be built keeps its last good version and is reported; the others go on.
import type { Resource } from './config/resource.ts';
import type { Config } from './config/source.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import { Drawing, type Inputs } from './drawing.ts';
import { loopOf, type OwnListeners } from './own-loops.ts';
import type { Place, Plan } from './plan.ts';
import type { Rejection } from './plane.ts';
import { rejection } from './rejection.ts';
import { placeId, RouteBuilder, type BuilderOptions, type Swap } from './route-builder.ts';
import type { Route } from './route.ts';
import { Router } from './router.ts';
import type { Upstream, UpstreamConf } from './upstream/upstream.ts';

export interface RoutesOptions extends BuilderOptions {
  /** Protocols that have a default route, for listeners whose clients no stream route matches; and its upstream. */
  readonly defaults?: { readonly protocols: readonly string[]; readonly upstream: UpstreamConf };
  /** Absent: nobody tells of routes that lead to themselves. */
  readonly own?: OwnListeners;
}

interface Built {
  readonly route: Route;
  readonly value: StreamRouteValue;
  /** Everything it was made of, as text: equal text, equal route. */
  readonly made: string;
  readonly inputs: Inputs;
  readonly upstream: Upstream | null;
}

/** No resource's id begins so. */
const defaultPrefix = '~';

function defaultKey(protocol: string): string {
  return defaultPrefix + protocol;
}

export class Routes {
  readonly #options: RoutesOptions;
  readonly #drawing: Drawing;
  readonly #builder: RouteBuilder;
  #built = new Map<string, Built>();
  #config: Config | null = null;
  #embedded: ReadonlyMap<string, string> = new Map();
  router: Router = new Router([]);

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#drawing = new Drawing(options.registry);
    this.#builder = new RouteBuilder(options, this.#drawing);
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
    this.#drawing.take(config, embedded);
    const rejections: Rejection[] = [];
    const next = new Map<string, Built>();
    const plans: Swap[] = [];
    for (const resource of config.resources.stream_routes.values()) {
      const value = resource.value as StreamRouteValue;
      if (value.status === 0 || value.protocol?.superior_id !== undefined) continue;
      this.#addRoute(next, plans, rejections, resource.id, resource);
    }
    this.#addDefaults(next, plans, rejections);
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
    if (old !== undefined && this.#drawing.same(old.inputs, resource)) {
      next.set(key, old);
      return;
    }
    try {
      const { blueprint, inputs } = this.#drawing.draw(resource);
      if (old !== undefined && old.made === blueprint.made) {
        next.set(key, { ...old, inputs });
        return;
      }
      const swap = this.#builder.build(blueprint, old?.route);
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
}
