// JSON schema (draft 7) of the two files that people write, for editors: made of the same schemas that the files are
// checked by, with the configurations of the plugins and protocols that are loaded.
import { metaSchema } from './registry.ts';
import type { JsonSchema } from './schema.ts';
import { settingsSchema } from './settings-schema.ts';
import { kindNames, kinds, type Kind } from './config/resource.ts';

/** What can be configured: plugins and protocols with their schemas. */
export interface Modules {
  plugins(): Iterable<{ readonly name: string; readonly schema: JsonSchema; readonly metadataSchema?: JsonSchema | undefined }>;
  protocols(): Iterable<{ readonly name: string; readonly schema: JsonSchema }>;
}

/** How a part that stands elsewhere is named. */
export type RefTo = (name: string) => string;

type Parts = Readonly<Record<string, JsonSchema>>;

const draft = 'http://json-schema.org/draft-07/schema#';

export function settingsFileSchema(): JsonSchema {
  const { listeners } = settingsSchema.properties!;
  // The check of settings says the same in a sentence.
  const items = { ...listeners!.items as JsonSchema, anyOf: [{ required: ['port'] }, { required: ['unix'] }] };
  const properties = { ...settingsSchema.properties, listeners: { ...listeners, items } };
  return { $schema: draft, title: 'Settings of Millrace', ...withPlaceholders({ ...settingsSchema, properties }) };
}

const listOfPlugins: JsonSchema = {
  description: 'Plugins that may run; without it all that are loaded.', type: 'array', maxItems: 1000,
  items: {
    anyOf: [{ type: 'string' }, {
      type: 'object', required: ['name'], additionalProperties: false, properties: { name: { type: 'string' }, stream: { type: 'boolean' } },
    }],
  },
};

export function resourcesFileSchema(modules: Modules): JsonSchema {
  const parts = resourceParts(modules, (name) => `#/definitions/${name}`);
  const lists = kindNames.map((kind) => [kind, { type: ['array', 'null'], items: inFile(kind, parts, modules) }]);
  return {
    $schema: draft, title: 'Resources of Millrace',
    ...withPlaceholders({
      type: 'object', additionalProperties: false,
      properties: { ...Object.fromEntries(lists) as Parts, plugins: listOfPlugins },
      // What an export of the reference has beside; it is ignored.
      patternProperties: { '_conf_version$': { type: 'integer' }, '^(routes|consumer_groups|protos)$': {} },
      definitions: { plugins: parts['plugins'] },
    }),
  };
}

/** Each kind by the name of its schema, and `plugins` that they have in common. */
export function resourceParts(modules: Modules, refTo: RefTo): Parts {
  const plugins: JsonSchema = {
    type: 'object', additionalProperties: false,
    properties: Object.fromEntries([...modules.plugins()].map(({ name, schema }) => [name, withMeta(alone(schema))])),
  };
  const own = kindNames.map((kind) => [kinds[kind].schemaName, kind === 'plugin_metadata' ? { type: 'object' }
    : withProtocols(withPlugins(kinds[kind].schema, refTo('plugins')), modules, refTo)] as const);
  return { plugins, ...Object.fromEntries(own) };
}

export function metadataParts(modules: Modules): Parts {
  return Object.fromEntries([...modules.plugins()].flatMap(({ name, metadataSchema }) =>
    (metadataSchema === undefined ? [] : [[name, alone(metadataSchema)]])));
}

// A reference inside would mean another place here.
function alone(schema: JsonSchema): JsonSchema {
  return JSON.stringify(schema).includes('"$ref"') ? { type: 'object' } : schema;
}

function withMeta(schema: JsonSchema): JsonSchema {
  return { ...schema, properties: { ...schema.properties, _meta: metaSchema } };
}

function withPlugins(schema: JsonSchema, ref: string): JsonSchema {
  const { properties = {} } = schema;
  if (properties['plugins'] === undefined) return schema;
  const { description } = properties['plugins'];
  const plugins: JsonSchema = { ...(description === undefined ? {} : { description }), allOf: [{ $ref: ref }] };
  return { ...schema, properties: { ...properties, plugins } };
}

function withProtocols(schema: JsonSchema, modules: Modules, refTo: RefTo): JsonSchema {
  const protocol = schema.properties?.['protocol'];
  if (protocol === undefined) return schema;
  const confs = [...modules.protocols()].map(({ name, schema: conf }) => confOf(name, alone(conf)));
  const logger = protocol.properties?.['logger'];
  const loggers = [...modules.plugins()].map(({ name }) => confOf(name, { $ref: `${refTo('plugins')}/properties/${name}` }));
  const more = logger === undefined ? {} : { logger: { ...logger, items: { ...logger.items as JsonSchema, allOf: loggers } } };
  return {
    ...schema,
    properties: { ...schema.properties, protocol: { ...protocol, properties: { ...protocol.properties, ...more }, allOf: confs } },
  };
}

function confOf(name: string, conf: JsonSchema): JsonSchema {
  return where('name', name, { properties: { conf } });
}

function where(member: string, value: string, schema: JsonSchema): JsonSchema {
  return { anyOf: [{ not: { required: [member], properties: { [member]: { const: value } } } }, schema] };
}

/** An item of a list: with an id, and with what an export says beside, which is ignored. */
function inFile(kind: Kind, parts: Parts, modules: Modules): JsonSchema {
  const times = Object.fromEntries(['create_time', 'update_time', 'createdIndex', 'modifiedIndex'].map((name) => (
    [name, { type: 'integer', description: 'Ignored.' }])));
  if (kind !== 'plugin_metadata') {
    const schema = parts[kinds[kind].schemaName]!;
    return { ...schema, properties: { ...schema.properties, id: kinds[kind].id, ...times } };
  }
  const id: JsonSchema = { type: 'string', description: 'Name of the plugin.' };
  return {
    type: 'object', required: ['id'], properties: { id },
    allOf: Object.entries(metadataParts(modules)).map(([name, schema]) => (
      where('id', name, { ...schema, properties: { ...schema.properties, id, ...times } }))),
  };
}

/** Where a number or a word is expected, `${NAME}` may stand. */
function withPlaceholders(schema: JsonSchema): JsonSchema {
  const walked = Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, walk(name, part)])) as JsonSchema;
  if (!isNarrow(schema)) return walked;
  const { description, default: usual, ...rest } = walked;
  return {
    ...(description === undefined ? {} : { description }), ...(usual === undefined ? {} : { default: usual }),
    anyOf: [rest, { type: 'string', pattern: '\\$\\{' }],
  };
}

const maps = ['properties', 'patternProperties', 'definitions'];
const lists = ['anyOf', 'oneOf', 'allOf'];
const single = ['items', 'additionalProperties', 'then', 'else'];

function walk(name: string, part: unknown): unknown {
  if (typeof part !== 'object' || part === null) return part;
  if (maps.includes(name)) {
    return Object.fromEntries(Object.entries(part).map(([each, child]) => [each, withPlaceholders(child as JsonSchema)]));
  }
  if (lists.includes(name) || (name === 'items' && Array.isArray(part))) {
    return (part as JsonSchema[]).map(withPlaceholders);
  }
  return single.includes(name) ? withPlaceholders(part as JsonSchema) : part;
}

function isNarrow({ type, pattern, format, maxLength, enum: words, const: only }: JsonSchema): boolean {
  if (words !== undefined || only !== undefined) return true;
  const types = [type].flat();
  if (types.includes('object') || types.includes('array') || types[0] === undefined) return false;
  return !types.includes('string') || pattern !== undefined || format !== undefined || Number(maxLength ?? Infinity) < 16;
}
