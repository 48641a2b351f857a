// What a route is made of: the resource with all that it, its service, its plugins and its consumers name, as one text. Equal
// text, equal route. What was looked at is remembered, so that most routes need not be drawn to be found unchanged.
import { effectiveRoute, globalPlugins, type EffectiveRoute, type Find } from './config/effective.ts';
import type { Resource } from './config/resource.ts';
import { emptyConfig, type Config } from './config/source.ts';
import type { PluginConfs } from './config/schemas/plugins.ts';
import type { StreamRouteValue } from './config/schemas/stream-route.ts';
import { ProxyError } from './errors.ts';
import type { Registry } from './registry.ts';
import { certificateIdsIn, withClientCredential } from './tls/client-credential.ts';
import type { UpstreamConf } from './upstream/upstream.ts';

/** What was looked at while a route was drawn. While all of it is the same, so is the route, without drawing it. */
export interface Inputs {
  readonly resource: Resource;
  readonly globals: PluginConfs;
  readonly registry: number;
  readonly subordinates: readonly Resource[];
  readonly looks: readonly { readonly look: () => unknown; readonly found: unknown }[];
}

export interface Blueprint {
  readonly id: string;
  /** With what its service and plugin config say. */
  readonly value: EffectiveRoute;
  readonly upstream: UpstreamConf | null;
  readonly subordinates: readonly Blueprint[];
  readonly made: string;
}

const none: readonly Resource[] = [];

export class Drawing {
  readonly #registry: Registry;
  #config: Config = emptyConfig();
  #embedded: ReadonlyMap<string, string> = new Map();
  #globals: PluginConfs = {};
  /** By superior. */
  #subordinates: ReadonlyMap<string, readonly Resource[]> = new Map();
  #looks: { look: () => unknown; found: unknown }[] = [];
  /** Those with plugins, by user name. A map of its own for each configuration. */
  consumers: ReadonlyMap<string, Resource> = new Map();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** From now on of this configuration. `embedded`: protocol → `host:port` of its embedded server. */
  take(config: Config, embedded: ReadonlyMap<string, string>): void {
    // An object of its own would make all routes look changed.
    if (this.#config.resources.global_rules !== config.resources.global_rules) this.#globals = globalPlugins(config);
    this.#config = config;
    this.#embedded = embedded;
    this.#subordinates = bySuperior(config.resources.stream_routes);
    this.consumers = new Map([...config.resources.consumers].filter(([, { value }]) => Object.keys(pluginsIn(value)).length > 0));
  }

  get globals(): PluginConfs { return this.#globals; }

  /** Throws CONFIG_INVALID. */
  draw(resource: Resource): { readonly blueprint: Blueprint; readonly inputs: Inputs } {
    this.#looks = [];
    const blueprint = this.#draw(resource, this.#subordinatesOf(resource));
    return { blueprint, inputs: this.#inputs(resource) };
  }

  /** Whether it would be drawn as it was. */
  same(inputs: Inputs, resource: Resource): boolean {
    return inputs.resource === resource && inputs.globals === this.#globals
      && inputs.registry === this.#registry.version
      && sameList(inputs.subordinates, this.#subordinatesOf(resource))
      && inputs.looks.every(({ look, found }) => look() === found);
  }

  #inputs(resource: Resource): Inputs {
    return {
      resource, globals: this.#globals, registry: this.#registry.version,
      subordinates: this.#subordinatesOf(resource), looks: this.#looks,
    };
  }

  #subordinatesOf({ id }: Resource): readonly Resource[] {
    return this.#subordinates.get(id) ?? none;
  }

  #find: Find = (kind, id) => this.#look(() => this.#config.resources[kind].get(id));

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
    const registry = this.#registry;
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
      const named = this.#registry.plugins.get(name)?.value.refers?.(conf) ?? [];
      const upstreams = named.map(({ kind, id }) => this.#find(kind, id)?.value ?? null);
      return [...upstreams, ...certificateIdsIn([conf, upstreams]).map((id) => this.#find('ssls', id)?.value ?? null)];
    });
  }

  /** An upstream that a plugin named, or that stands in its configuration. Throws CONFIG_INVALID. */
  chosen(chosen: string | object, protocol: string): UpstreamConf {
    if (typeof chosen !== 'string') return this.#located(chosen, protocol);
    const found = this.#config.resources.upstreams.get(chosen)?.value;
    if (found === undefined) throw new ProxyError('CONFIG_INVALID', `failed to fetch upstream info by upstream id: ${chosen}`);
    return this.#located(found, protocol);
  }

  #pluginsOf(value: StreamRouteValue): string[] {
    const loggers = (value.protocol?.logger ?? []).map(({ name }) => name);
    return [...Object.keys(this.#globals), ...Object.keys(value.plugins ?? {}), ...loggers];
  }

  /** Everything that a plan of this consumer is made of beside the route's own. */
  textOf({ value }: Resource): string {
    this.#looks = [];
    const own = { plugins: pluginsIn(value) } as EffectiveRoute;
    return JSON.stringify([own, this.#codeOf(own), this.#metadataOf(own), this.#upstreamsOf(own)]);
  }

  metadata(plugin: string): Readonly<Record<string, unknown>> {
    return this.#config.resources.plugin_metadata.get(plugin)?.value ?? {};
  }
}

export function pluginsIn(value: Resource['value']): PluginConfs {
  return (value['plugins'] ?? {}) as PluginConfs;
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
