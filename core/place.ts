// Sets plugins up for the places where a route configures them.
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import type { Engine } from './engine.ts';
import { ProxyError, type ErrorCode } from './errors.ts';
import { compileExpression } from './expression.ts';
import { markOf, ran } from './last-plugin.ts';
import type { Place, Report } from './plan.ts';
import type { Client, Hooks, Plugin, PluginContext } from './plugin.ts';
import type { Protocol } from './protocol.ts';
import type { Registry } from './registry.ts';
import type { Request } from './request.ts';
import type { NodeTable } from './upstream/node.ts';
import { Upstream, type UpstreamConf } from './upstream/upstream.ts';
import { compileVariable } from './variables.ts';

type Conf = Readonly<Record<string, unknown>>;

interface Meta {
  readonly disable?: boolean;
  readonly priority?: number;
  readonly phases?: readonly string[];
  readonly filter?: readonly unknown[];
  readonly error_response?: string;
}

export interface PlaceBuilderOptions {
  readonly engine: Engine;
  readonly registry: Registry;
  readonly nodes: NodeTable;
}

export class PlaceBuilder {
  readonly #options: PlaceBuilderOptions;

  constructor(options: PlaceBuilderOptions) {
    this.#options = options;
  }

  /** All places of a route, in the order in which they run. Throws when one cannot be set up; nothing stays then. */
  build(
    routeId: string, value: StreamRouteValue, globals: PluginConfs, protocolConf: Conf, protocol: Protocol,
    metadata: (plugin: string) => Conf,
  ): readonly Place[] {
    const places: Place[] = [];
    let before: Place[] = [];
    const add = (plugins: PluginConfs): void => {
      for (const [name, conf] of Object.entries(plugins)) {
        const { _meta: meta = {}, ...own } = conf as Conf & { _meta?: Meta };
        if (meta.disable !== true) places.push(this.#place(routeId, name, own, meta, protocol, metadata(name)));
      }
    };
    try {
      add(globals);
      before = places.splice(0).sort(byPriority);
      add(value.plugins ?? {});
      for (const place of protocol.places?.(protocolConf) ?? []) {
        places.push({
          plugin: place.name, version: '', priority: place.priority, hooks: place.hooks,
          ...this.#bookkeeping(place.name, routeId, [], markOf(place.name, routeId)),
        });
      }
      places.sort(byPriority).unshift(...before);
      for (const { name, filter, conf = {} } of value.protocol?.logger ?? []) {
        const meta: Meta = { phases: ['log'], ...(filter === undefined || filter.length === 0 ? {} : { filter }) };
        places.push(this.#place(routeId, name, conf, meta, protocol, metadata(name)));
      }
      return places;
    } catch (cause) {
      for (const { hooks } of new Set([...before, ...places])) void hooks.close?.();
      throw cause;
    }
  }

  #place(routeId: string, name: string, conf: Conf, meta: Meta, protocol: Protocol, metadata: Conf): Place {
    const registered = this.#options.registry.plugins.get(name);
    if (registered === undefined) throw new ProxyError('CONFIG_INVALID', `unknown plugin [${name}]`);
    const plugin = registered.value;
    // A copy of its own: what a plugin does to it stays its own business.
    const own = structuredClone(conf);
    const problems = registered.validate(own);
    if (problems.length > 0) {
      throw new ProxyError('CONFIG_INVALID', `plugins.${name}: ${problems.map(({ message }) => message).join('; ')}`);
    }
    let hooks: Hooks;
    const series: number[] = [];
    const mark = markOf(name, routeId);
    ran(mark);
    try {
      hooks = plugin.setup(own, this.#context(plugin, routeId, protocol, metadata, series));
    } catch (cause) {
      throw new ProxyError('CONFIG_INVALID', `plugins.${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    return {
      plugin: name,
      version: plugin.version ?? '',
      priority: meta.priority ?? plugin.priority,
      hooks: narrowed(hooks, meta),
      ...this.#bookkeeping(name, routeId, series, mark),
    };
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

  #context(plugin: Plugin, routeId: string, protocol: Protocol, metadata: Conf, series: number[]): PluginContext {
    const { engine, registry, nodes } = this.#options;
    const { metrics } = engine;
    const labels = { plugin: plugin.name, route: routeId };
    return {
      plugin: plugin.name,
      routeId,
      protocol: protocol.name,
      log: engine.log.child({ plugin: plugin.name, route: routeId }),
      now: () => engine.clock.now(),
      variable: (name) => compileVariable(name),
      metadata,
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

/** Applies `_meta`: fewer phases, only the requests that the filter lets through, another error text. */
function narrowed(hooks: Hooks, meta: Meta): Hooks {
  const { phases, filter, error_response: text } = meta;
  if (phases === undefined && filter === undefined && text === undefined) return hooks;
  const takes = (phase: string): boolean => phases === undefined || phases.includes(phase);
  const filtered = filter === undefined ? null : compileExpression(filter);
  const wants = (request: Request): boolean => filtered === null || filtered(request);
  const early = filtered === null || filtered.requestTimeOnly;
  const result: Hooks = {
    ...(hooks.maxWait === undefined ? {} : { maxWait: hooks.maxWait }),
    ...(hooks.transient === undefined ? {} : { transient: hooks.transient }),
    close: () => hooks.close?.(),
    status: () => hooks.status?.() ?? {},
  };
  if (hooks.connect !== undefined && takes('connect')) result.connect = (session) => hooks.connect!(session);
  if (hooks.disconnect !== undefined) result.disconnect = (session, reason) => hooks.disconnect!(session, reason);
  if (hooks.request !== undefined && takes('request')) {
    result.request = (request) => {
      if (!wants(request)) return undefined;
      const wait = hooks.request!(request);
      if (text === undefined) return wait;
      if (wait === undefined) return replaceText(request, text);
      return wait.then(() => replaceText(request, text));
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

function replaceText(request: Request, text: string): void {
  const { outcome } = request;
  if (outcome instanceof ProxyError) request.outcome = new ProxyError(outcome.code, text, { cause: outcome, close: outcome.close });
}
