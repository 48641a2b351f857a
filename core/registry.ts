// Name → plugin and protocol, each with its compiled schema. Filled by the loader; everybody else looks up here.
import type { CheckContext, Plugin, Targets } from './plugin.ts';
import type { Discovery } from './discovery/discovery.ts';
import type { Protocol } from './protocol.ts';
import { compileSchema, type JsonSchema, type Problem, type Validator } from './schema.ts';
import { checkExpression } from './expression.ts';
import { problemOf } from './problem.ts';
import { problem } from './schema.ts';
import { anywhere } from './targets.ts';
import type { Named } from './config/check.ts';
import { builtInManagers, type SecretManager } from './config/secret-manager.ts';

export interface Registered<T> {
  readonly value: T;
  readonly file: string;
  readonly generation: number;
  /** Checks a configuration and fills its defaults in. */
  readonly validate: Validator;
  readonly validateMetadata: Validator | null;
}

/** What every plugin's configuration may carry beside its own fields. */
export const metaSchema: JsonSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    disable: { type: 'boolean', description: 'Leaves this place out.' },
    priority: { type: 'integer', minimum: -100_000, maximum: 100_000, description: 'Instead of the plugin\'s own.' },
    phases: {
      type: 'array', minItems: 1, items: { enum: ['connect', 'request', 'response', 'log'] },
      description: 'Phases that the plugin takes part in; default all.',
    },
    filter: { type: 'array', description: 'Expression; requests for which it is false pass the plugin by.' },
    error_response: {
      description: 'Text of errors that the plugin gives; an object is written as JSON.', 'x-expected': 'text or object',
      anyOf: [{ type: 'string', minLength: 1, maxLength: 512 }, { type: 'object', minProperties: 1, maxProperties: 32 }],
    },
    on_failure: {
      enum: ['refuse', 'pass'],
      description: 'What becomes of a request or connection at which a hook throws what is no `ProxyError`: `refuse` (default), '
        + 'or `pass`, as if the plugin were not there. A hook that does not end in time refuses.',
    },
    pre_function: { type: 'string', description: 'Accepted for configurations that exist; it is never run, and the log says so.' },
  },
};
const validateMeta = compileSchema(metaSchema);
const noSettings: JsonSchema = { type: 'object', additionalProperties: false };

export class Registry {
  readonly plugins = new Map<string, Registered<Plugin>>();
  readonly protocols = new Map<string, Registered<Protocol>>();
  /** Ways to find nodes beside `dns` and `file`; each worker makes its own. */
  readonly discoveries = new Map<string, () => Discovery>();
  /** Grows with every change of plugins and protocols. */
  version = 0;

  addPlugin(plugin: Plugin, file: string, generation: number): void {
    this.version++;
    this.plugins.set(plugin.name, {
      value: plugin,
      file,
      generation,
      validate: compileSchema(plugin.schema, { defaults: true }),
      validateMetadata: plugin.metadataSchema === undefined ? null : compileSchema(plugin.metadataSchema),
    });
  }

  addProtocol(protocol: Protocol, file: string, generation: number): void {
    this.version++;
    this.protocols.set(protocol.name, {
      value: protocol, file, generation, validate: compileSchema(protocol.schema, { defaults: true }), validateMetadata: null,
    });
  }

  /** Before the first configuration is applied; only where one worker runs in this thread. */
  addDiscovery(name: string, make: () => Discovery): void {
    this.discoveries.set(name, make);
  }

  /** Where `secrets/<manager>/<id>` are looked up: what is built in, and plugins that bring a manager, by their names. */
  get secretManagers(): ReadonlyMap<string, SecretManager> {
    const brought = [...this.plugins].flatMap(([name, { value: { secretManager } }]) => (secretManager === undefined ? [] : [[name, secretManager] as const]));
    return new Map([...brought, ...Object.entries(builtInManagers)]);
  }

  /** What is wrong with a manager's settings. Undefined: no manager of this name. */
  checkSecret(manager: string, conf: Readonly<Record<string, unknown>>): readonly Problem[] | undefined {
    const found = this.secretManagers.get(manager);
    return found === undefined ? undefined : compileSchema(found.schema ?? noSettings)(structuredClone(conf));
  }

  /** What `checks.active.type` may be. */
  get checkTypes(): string[] {
    const probed = [...this.protocols].filter(([, { value }]) => value.probe !== undefined).map(([name]) => name);
    return ['tcp', 'http', 'https', ...probed];
  }

  get discoveryTypes(): string[] {
    return ['dns', 'file', ...this.discoveries.keys()];
  }

  named(what: Named): ReadonlyMap<string, unknown> {
    return { plugin: this.plugins, protocol: this.protocols, 'secret manager': this.secretManagers }[what];
  }

  /** Undefined: no plugin of this name. `others`: where it is configured beside the place being checked. */
  checkPlugin(
    name: string, conf: Readonly<Record<string, unknown>>, others: () => CheckContext['others'] = () => [],
    targets: Targets = anywhere,
  ): readonly Problem[] | undefined {
    const plugin = this.plugins.get(name);
    if (plugin === undefined) return undefined;
    const { _meta: meta, ...own } = conf;
    const problems = [...plugin.validate(structuredClone(own))];
    if (meta !== undefined) {
      problems.push(...validateMeta(meta).map((each) => ({ ...each, at: ['_meta', ...each.at], path: `_meta.${each.path}` })));
      const { filter } = meta as { filter?: unknown };
      if (filter !== undefined) problems.push(...this.checkExpression(filter).map((each) => ({ ...each, at: ['_meta', 'filter'] })));
    }
    // What is left out need not be right: that is how one is kept for later.
    if ((meta as { disable?: unknown } | undefined)?.disable === true) return problems.filter(({ at }) => at[0] === '_meta');
    if (problems.length > 0) return problems;
    const filled = structuredClone(own);
    plugin.validate(filled);
    const texts = plugin.value.check?.(filled, {
      targets,
      // Most plugins never ask, and there may be ten thousand.
      get others() { return others().map((each) => ({ ...each, conf: filledOf(plugin, each.conf) })); },
    }) ?? [];
    return texts.map((text) => problemOf(text, plugin.value.schema['properties']));
  }

  checkMetadata(name: string, conf: Readonly<Record<string, unknown>>): readonly Problem[] | undefined {
    const plugin = this.plugins.get(name);
    if (plugin === undefined) return undefined;
    return plugin.validateMetadata === null ? [] : plugin.validateMetadata(structuredClone(conf));
  }

  /** Undefined: no protocol of this name. */
  checkProtocol(name: string, conf: Readonly<Record<string, unknown>>): readonly Problem[] | undefined {
    const protocol = this.protocols.get(name);
    if (protocol === undefined) return undefined;
    const filled = structuredClone(conf);
    const problems = protocol.validate(filled);
    if (problems.length > 0) return problems;
    const texts = protocol.value.check?.(filled) ?? [];
    return texts.map((text) => problemOf(text, protocol.value.schema['properties']));
  }

  checkExpression(expression: unknown): readonly Problem[] {
    return checkExpression(expression).map((text) => problem([], 'an expression', 'this one', text));
  }
}

const filledBefore = new WeakMap<Registered<Plugin>, WeakMap<object, unknown>>();

/** A configuration with its defaults, so that two can be compared. */
function filledOf(plugin: Registered<Plugin>, conf: unknown): unknown {
  const known = filledBefore.get(plugin) ?? new WeakMap<object, unknown>();
  filledBefore.set(plugin, known);
  const before = known.get(conf as object);
  if (before !== undefined) return before;
  const { _meta: _left, ...own } = structuredClone(conf) as Record<string, unknown>;
  plugin.validate(own);
  // What is stored never changes.
  if (Object.isFrozen(conf)) known.set(conf as object, own);
  return own;
}
