// Tables of fields, made from the schemas. `node test/docs/fields.ts` writes them into the pages, a test compares.
// On a page:  <!-- fields: plugin logger -->  table  <!-- end -->
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { upstreamSchema } from '../../core/config/schemas/upstream.ts';
import { kinds } from '../../core/config/resource.ts';
import type { JsonSchema } from '../../core/schema.ts';
import { metaSchema } from '../../core/registry.ts';
import { settingsSchema } from '../../core/settings-schema.ts';
import type { Plugin } from '../../core/plugin.ts';
import redis from '../../protocols/redis/index.ts';

const files = readdirSync('plugins').filter((name) => name.endsWith('.ts')).map((name) => join(process.cwd(), 'plugins', name));
/** All that come with Millrace. */
export const plugins = await Promise.all(files.map(async (file) => (await import(file) as { default: Plugin }).default));

const schemas: Readonly<Record<string, JsonSchema>> = {
  ...Object.fromEntries(plugins.flatMap((plugin) => [
    [`plugin ${plugin.name}`, plugin.schema], [`metadata ${plugin.name}`, plugin.metadataSchema ?? {}],
  ])),
  '_meta': metaSchema,
  'protocol redis': redis.schema,
  ...Object.fromEntries(Object.values(kinds).map(({ schemaName, schema }) => [schemaName, schema])),
  'settings': settingsSchema,
  'settings limits': settingsSchema.properties!['limits']!,
};

/** The page with its tables as the schemas have them. Throws for a name that there is not. */
export function withTables(page: string): string {
  return page.replaceAll(/(<!-- fields: ([\w -]+?) -->\n).*?(<!-- end -->)/gs, (_whole, open: string, name: string, end: string) => {
    const schema = schemas[name];
    if (schema === undefined) throw new Error(`fields: expected one of ${Object.keys(schemas).join(', ')}, got ${name}`);
    return `${open}${fieldTable(schema)}${end}`;
  });
}

export function fieldTable(schema: JsonSchema): string {
  const rows = fieldRows(schema, '').map((cells) => `| ${cells.join(' | ')} |`);
  return ['| Field | Type | Default | Required | Meaning |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

function fieldRows(schema: JsonSchema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    if (field['x-refused'] !== undefined) return [];
    const path = prefix + name;
    const meaning = (field.description ?? '').replaceAll('|', '\\|');
    const row = [
      `\`${path}\``, typeText(field), defaultText(field.default), schema.required?.includes(name) === true ? 'yes' : '', meaning,
    ];
    // An upstream's fields have a table of their own.
    if (field.properties === upstreamSchema.properties) return [row];
    return [row, ...below(field, path)];
  });
}

function below(field: JsonSchema, path: string): string[][] {
  const forms = [field, ...alternatives(field)];
  return forms.flatMap((form) => [
    ...fieldRows(form, `${path}.`),
    ...(form.items !== undefined && !Array.isArray(form.items) ? below(form.items as JsonSchema, `${path}[]`) : []),
  ]);
}

function alternatives(field: JsonSchema): readonly JsonSchema[] {
  return ((field['oneOf'] ?? field['anyOf'] ?? []) as readonly JsonSchema[]).filter((each) => each.required === undefined || each.type !== undefined);
}

function typeText(field: JsonSchema): string {
  if (field.enum !== undefined) return field.enum.map((each) => `\`${String(each)}\``).join(', ');
  if (typeof field['const'] === 'string') return `\`${field['const']}\``;
  if (field.type === undefined) {
    const forms = new Set(alternatives(field).map(typeText));
    return forms.size > 0 ? [...forms].join(' or ') : 'any';
  }
  if (field.type === 'array') {
    const items = field.items as JsonSchema | undefined;
    return items?.type === undefined && items?.enum === undefined ? 'array' : `array of ${typeText(items)}`;
  }
  if (typeof field['x-expected'] === 'string') return field['x-expected'];
  return `${String(field.type)}${rangeText(field)}`;
}

function rangeText(field: JsonSchema): string {
  const { minimum, exclusiveMinimum, maximum } = field as Readonly<Record<string, number | undefined>>;
  const most = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum !== undefined) return most === undefined ? ` ≥ ${minimum}` : ` ${minimum}..${most}`;
  if (exclusiveMinimum !== undefined) return most === undefined ? ` > ${exclusiveMinimum}` : ` > ${exclusiveMinimum}, ≤ ${most}`;
  return most === undefined ? '' : ` ≤ ${most}`;
}

function defaultText(value: unknown): string {
  if (value === undefined || ['{}', '[]'].includes(JSON.stringify(value))) return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** Every page: README.md, CHANGELOG.md and all below docs/. */
export function pagePaths(): string[] {
  const below = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
  return ['README.md', 'CHANGELOG.md', ...below.map((name) => join('docs', name)).toSorted()];
}

if (import.meta.main) {
  for (const path of pagePaths()) {
    const page = readFileSync(path, 'utf8');
    const made = withTables(page);
    if (made !== page) writeFileSync(path, made);
  }
}
