// Sets plugins up for the places where a route configures them.
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { Engine } from './engine.ts';
import { ProxyError, type ErrorCode } from './errors.ts';
import { markOf, ran } from './last-plugin.ts';
import { narrowed, type Meta } from './meta.ts';
import { idleHooks, unknownVariables, type PlaceWarning } from './place-warnings.ts';
import type { Place, PlaceSource, Report } from './plan.ts';
import type { Client, Hooks, Plugin, PluginContext, Targets, UpstreamChoice } from './plugin.ts';
import type { Protocol } from './protocol.ts';
import type { Registry } from './registry.ts';
import type { Request } from './request.ts';
import type { NodeTable } from './upstream/node.ts';
import { Upstream, type UpstreamConf } from './upstream/upstream.ts';
import { compileVariable, notingVariables } from './variables.ts';

type Conf = Readonly<Record<string, unknown>>;

/** Opens an upstream for a plugin, by id or as configured. */
export type OpenUpstream = (plugin: string, name: string, upstream: string | object) => UpstreamChoice;

/** Of the route that places are built for. */
export interface PlaceRoute {
  readonly id: string;
  readonly protocol: Protocol;
  metadata(plugin: string): Conf;
  readonly open: OpenUpstream;
  provide(name: string, read: (request: Request) => string): void;
  /** All that were provided. */
  readonly variables: ReadonlyMap<string, unknown>;
}

export interface PlaceBuilderOptions {
  readonly engine: Engine;
  readonly registry: Registry;
  readonly nodes: NodeTable;
  readonly targets: Targets;
  /** One worker of all says what is accepted and does nothing; default true. */
  readonly warns?: boolean;
}

type Warned = Place & { warnings?: readonly PlaceWarning[] };

/** A place that was set up, and what it was made of. */
interface Made {
  readonly place: Warned;
  /** Of variables. */
  readonly names: ReadonlySet<string>;
  readonly confs: readonly unknown[];
  readonly provides: boolean;
}

export class PlaceBuilder {
  readonly #options: PlaceBuilderOptions;

  constructor(options: PlaceBuilderOptions) {
    this.#options = options;
  }

  /** All places of a route, in the order in which they run. Throws when one cannot be set up; nothing stays then. */
  build(
    route: PlaceRoute, value: StreamRouteValue, globals: PluginConfs, protocolConf: Conf,
  ): readonly Place[] {
    const places: Place[] = [];
    let before: Place[] = [];
    const made: Made[] = [];
    try {
      this.#add(places, route, globals, 'global', made);
      before = places.splice(0).sort(byPriority);
      this.#add(places, route, value.plugins ?? {}, 'route', made);
      for (const place of route.protocol.places?.(protocolConf) ?? []) {
        places.push({
          plugin: place.name, version: '', priority: place.priority, hooks: place.hooks, source: 'protocol',
          ...this.#bookkeeping(place.name, route.id, [], markOf(place.name, route.id)),
        });
      }
      places.sort(byPriority).unshift(...before);
      for (const { name, filter, conf = {} } of value.protocol?.logger ?? []) {
        const meta: Meta = { phases: ['log'], ...(filter === undefined || filter.length === 0 ? {} : { filter }) };
        places.push(this.#place(route, name, conf, meta, 'logger', made));
      }
      this.#warn(route, made);
      return places;
    } catch (cause) {
      for (const { hooks } of new Set([...before, ...places])) void hooks.close?.();
      throw cause;
    }
  }

  /** A consumer's places among those of a route; where both have a plugin, it is the consumer's. Throws as `build` does. */
  buildAmong(places: readonly Place[], route: PlaceRoute, plugins: PluginConfs): readonly Place[] {
    const own: Place[] = [];
    const made: Made[] = [];
    try {
      this.#add(own, route, plugins, 'consumer', made);
      this.#warn(route, made);
    } catch (cause) {
      for (const { hooks } of own) void hooks.close?.();
      throw cause;
    }
    const of = (...sources: PlaceSource[]): Place[] => places.filter(({ source }) => sources.includes(source));
    const kept = of('route', 'protocol').filter(({ source, plugin }) => source === 'protocol' || !Object.hasOwn(plugins, plugin));
    return [...of('global'), ...[...kept, ...own].sort(byPriority), ...of('logger')];
  }

  /** When all places are there: only then it is known what they provide. */
  #warn(route: PlaceRoute, all: readonly Made[]): void {
    const { engine, warns = true } = this.#options;
    for (const { place, names, confs, provides } of all) {
      const idle = place.source === 'global' ? null : idleHooks(place.hooks, provides, route.protocol);
      place.warnings = [...(idle === null ? [] : [idle]), ...unknownVariables(names, confs, route.protocol, route.variables.keys())];
      if (!warns) continue;
      for (const { code, text } of place.warnings) engine.log.warn({ code, route: route.id, plugin: place.plugin }, text);
    }
  }

  #add(places: Place[], route: PlaceRoute, plugins: PluginConfs, source: PlaceSource, made: Made[]): void {
    for (const [name, conf] of Object.entries(plugins)) {
      const { _meta: meta = {}, ...own } = conf as Conf & { _meta?: Meta };
      if (meta.disable !== true) places.push(this.#place(route, name, own, meta, source, made));
    }
  }

  #place(route: PlaceRoute, name: string, conf: Conf, meta: Meta, source: PlaceSource, made: Made[]): Place {
    const registered = this.#options.registry.plugins.get(name);
    if (registered === undefined) throw new ProxyError('CONFIG_INVALID', `unknown plugin [${name}]`);
    const plugin = registered.value;
    // A copy of its own: what a plugin does to it stays its own business.
    const own = structuredClone(conf);
    const problems = registered.validate(own);
    if (problems.length > 0) {
      throw new ProxyError('CONFIG_INVALID', `plugins.${name}: ${problems.map(({ message }) => message).join('; ')}`);
    }
    if (meta.pre_function !== undefined) {
      this.#options.engine.log.warn({ code: 'CONFIG_INVALID', plugin: name, route: route.id }, '_meta.pre_function is never run');
    }
    let hooks: Hooks;
    let names: ReadonlySet<string>;
    const provided = route.variables.size;
    const series: number[] = [];
    const mark = markOf(name, route.id);
    ran(mark);
    try {
      [hooks, names] = notingVariables(() => narrowed(plugin.setup(own, this.#context(plugin, route, series)), meta));
    } catch (cause) {
      throw new ProxyError('CONFIG_INVALID', `plugins.${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    const place: Warned = {
      plugin: name,
      version: plugin.version ?? '',
      priority: meta.priority ?? plugin.priority,
      hooks,
      failsOpen: meta.on_failure === 'pass',
      source,
      ...this.#bookkeeping(name, route.id, series, mark),
    };
    made.push({ place, names, confs: [conf, meta, route.metadata(name)], provides: route.variables.size > provided });
    return place;
  }

  #bookkeeping(
    plugin: string, route: string, series: number[], mark: number,
  ): Pick<Place, 'mark' | 'report' | 'release'> {
    const { metrics } = this.#options.engine;
    return {
      mark,
      report: this.#reporter(plugin, route, series),
      release: () => { for (const index of series.splice(0)) metrics.release(index); },
    };
  }

  /** Says that a hook failed, once a second at most, and counts each time. */
  #reporter(plugin: string, route: string, series: number[]): Report {
    const { log, metrics, clock } = this.#options.engine;
    let last = -Infinity;
    const failures = metrics.counter('millrace_plugin_failures_total', 'Hooks that threw or did not end in time.', { plugin, route });
    series.push(failures);
    return (code: ErrorCode, cause: unknown) => {
      metrics.add(failures, 1);
      const now = clock.now();
      if (now - last < 1000) return;
      last = now;
      log.error({ code, plugin, route, err: cause }, 'a plugin failed');
    };
  }

  #context(plugin: Plugin, route: PlaceRoute, series: number[]): PluginContext {
    const { id: routeId, protocol } = route;
    const { engine, registry, nodes, targets } = this.#options;
    const { metrics } = engine;
    const labels = { plugin: plugin.name, route: routeId };
    return {
      plugin: plugin.name,
      routeId,
      protocol: protocol.name,
      log: engine.log.child({ plugin: plugin.name, route: routeId }),
      now: () => engine.clock.now(),
      variable: (name) => compileVariable(name),
      metadata: route.metadata(plugin.name),
      counter(name, help) {
        const index = metrics.counter(fullName(name), help, labels);
        series.push(index);
        return { add: (amount = 1) => metrics.add(index, amount) };
      },
      gauge(name, help) {
        const index = metrics.gauge(fullName(name), help, labels, { merge: 'min' });
        series.push(index);
        return { set: (value) => metrics.set(index, value) };
      },
      windows: engine.windows,
      occupancy: engine.occupancy,
      targets,
      upstream: (name, upstream) => route.open(plugin.name, name, upstream),
      provide: (name, read) => route.provide(name, read),
      reply(value) {
        if (protocol.reply === undefined) throw new ProxyError('CONFIG_INVALID', `protocol ${protocol.name} has no replies that can be configured`);
        return protocol.reply(value);
      },
      client(protocolName, upstream): Client {
        const found = registry.protocols.get(protocolName)?.value;
        if (found?.client === undefined) throw new ProxyError('CONFIG_INVALID', `protocol ${protocolName} has no client`);
        const conf = upstream as UpstreamConf;
        const opened = new Upstream({ conf, table: nodes, limits: engine.limits, defaultPort: 6379, id: `${plugin.name} of ${routeId}` });
        return found.client(opened, engine);
      },
    };
  }
}

function byPriority(a: Place, b: Place): number {
  return b.priority - a.priority || (a.plugin < b.plugin ? -1 : 1);
}

function fullName(name: string): string {
  return name.startsWith('millrace_') ? name : `millrace_${name}`;
}
