// Secrets in resources: never shown, and not destroyed when somebody sends back what he was shown.
import { isDeepStrictEqual } from 'node:util';
import { kinds, type Kind, type Value } from '../core/config/resource.ts';
import { hideSecrets, problem, type At, type JsonSchema, type Problem } from '../core/schema.ts';
import { findByName, type Registry } from './registry.ts';

const mask = '***';
// A plugin or protocol that is not loaded (any more) cannot say what is secret.
const everythingSecret: JsonSchema = { additionalProperties: { writeOnly: true } };

/** The value with `***` instead of each secret. */
export function withoutSecrets(kind: Kind, id: string, value: Value, registry: Registry): Value {
  if (kind === 'plugin_metadata') {
    const plugin = findByName(registry.plugins(), id);
    return hidden(plugin === undefined ? everythingSecret : plugin.metadataSchema ?? {}, value);
  }
  if (kind === 'secrets') return hideSettings(id, value, registry);
  const shown = hidden(kinds[kind].schema, value);
  const { plugins, protocol } = shown as { plugins?: Value; protocol?: Value };
  return {
    ...shown,
    ...(isObject(plugins) ? { plugins: hideEach(plugins, registry) } : {}),
    ...(isObject(protocol) ? { protocol: hideProtocol(protocol, registry) } : {}),
  };
}

type Kept = { readonly value: Value } | { readonly wrong: Problem };

/** What was sent, with `***` replaced by the secret that stands there now; a problem where none does. */
export function withSecretsKept(
  kind: Kind, id: string, sent: Value, old: Value | undefined, registry: Registry,
): Kept {
  const shownOld = old === undefined ? undefined : withoutSecrets(kind, id, old, registry);
  const kept = keep(sent, shownOld, old) as Value;
  // Any text in place of `***` shows which of them stand where a secret belongs.
  const shown = withoutSecrets(kind, id, unmasked(kept) as Value, registry);
  const at = masked(kept, shown, []);
  if (at === null) return { value: kept };
  return { wrong: problem(at, 'a secret', `"${mask}", which stands for one that is not shown`) };
}

function hidden(schema: JsonSchema, value: Value): Value {
  return hideSecrets(schema, value) as Value;
}

const builtIn = ['env', 'file'];

/** Of a secret manager: a key of its own, say. */
function hideSettings(id: string, value: Value, registry: Registry): Value {
  const [name = ''] = id.split('/');
  if (builtIn.includes(name)) return value;
  const manager = findByName(registry.plugins(), name)?.secretManager;
  return hidden(manager === undefined ? everythingSecret : manager.schema ?? {}, value);
}

function hideEach(plugins: Value, registry: Registry): Value {
  return Object.fromEntries(Object.entries(plugins).map(
    ([name, conf]) => [name, isObject(conf) ? hidePlugin(name, conf, registry) : conf]));
}

function hidePlugin(name: unknown, conf: Value, registry: Registry): Value {
  return hidden(findByName(registry.plugins(), String(name))?.schema ?? everythingSecret, conf);
}

function hideProtocol(protocol: Value, registry: Registry): Value {
  const { name, conf, logger } = protocol;
  const schema = findByName(registry.protocols(), String(name))?.schema ?? everythingSecret;
  return {
    ...protocol,
    ...(isObject(conf) ? { conf: hidden(schema, conf) } : {}),
    ...(Array.isArray(logger) ? { logger: logger.map((each: Value) => hideLogger(each, registry)) } : {}),
  };
}

function hideLogger(logger: Value, registry: Registry): Value {
  const conf = isObject(logger) ? logger['conf'] : undefined;
  return isObject(conf) ? { ...logger, conf: hidePlugin(logger['name'], conf, registry) } : logger;
}

function keep(sent: unknown, shown: unknown, old: unknown): unknown {
  if (sent === mask && shown === mask) return old;
  if (Array.isArray(sent)) return Array.isArray(shown) ? keepEach(sent, shown, old) : sent;
  if (!isObject(sent)) return sent;
  return Object.fromEntries(
    Object.entries(sent).map(([name, child]) => [name, keep(child, below(shown, name), below(old, name))]));
}

// An entry is known by being what was shown, wherever it stands now; one that was changed, by its place, as long as
// none was added or taken away. Anything else could hand one server's password to another.
function keepEach(sent: readonly unknown[], shown: readonly unknown[], old: unknown): unknown[] {
  const free = new Set(shown.keys());
  const take = (index: number): number => (free.delete(index), index);
  const same = sent.map((child, index) => {
    if (!holdsMask(child)) return undefined;
    const found = [index, ...free].find((each) => free.has(each) && isDeepStrictEqual(child, shown[each]));
    return found === undefined ? undefined : take(found);
  });
  return sent.map((child, index) => {
    const from = same[index] ?? (sent.length === shown.length && free.has(index) ? index : -1);
    return keep(child, below(shown, from), below(old, from));
  });
}

function holdsMask(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === mask;
  return Object.values(value).some(holdsMask);
}

function unmasked(value: unknown): unknown {
  if (value === mask) return '';
  if (Array.isArray(value)) return value.map(unmasked);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, unmasked(child)]));
}

function masked(sent: unknown, shown: unknown, at: At): At | null {
  if (sent === mask) return shown === mask ? at : null;
  if (typeof sent !== 'object' || sent === null) return null;
  for (const [name, child] of Object.entries(sent)) {
    const segment = Array.isArray(sent) ? Number(name) : name;
    const found = masked(child, below(shown, segment), [...at, segment]);
    if (found !== null) return found;
  }
  return null;
}

function below(value: unknown, segment: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined;
  return (value as Record<string | number, unknown>)[segment];
}

function isObject(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
