// Which values of a schema are secrets (`writeOnly`), and how to show an object without them.
import type { At } from './problem.ts';
import type { JsonSchema } from './schema.ts';
import { isSecretReference } from './secret-reference.ts';

/** A copy in which every `writeOnly` value reads `***`. */
export function hideSecrets(schema: JsonSchema, value: unknown): unknown {
  return hide(branches([schema]), value);
}

function hide(schemas: readonly JsonSchema[], value: unknown): unknown {
  // Where a secret stands is none.
  if (schemas.some((each) => each.writeOnly === true)) return isSecretReference(value) ? value : '***';
  if (Array.isArray(value)) return value.map((child, index) => hide(below(schemas, index), child));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, hide(below(schemas, name), child)]));
}

/** Whether the value at this place is a secret, or could be one. */
export function isSecret(schema: JsonSchema, at: At): boolean {
  let schemas = branches([schema]);
  for (const segment of at) {
    // A reference is not followed: hide the value rather than risk showing it.
    if (schemas.some((each) => each.writeOnly === true || each['$ref'] !== undefined)) return true;
    schemas = below(schemas, segment);
  }
  return schemas.some((each) => each.writeOnly === true || each['$ref'] !== undefined);
}

function branches(schemas: readonly JsonSchema[]): JsonSchema[] {
  const all: JsonSchema[] = [];
  for (const schema of schemas) {
    all.push(schema);
    for (const keyword of ['allOf', 'anyOf', 'oneOf']) {
      const list = schema[keyword];
      if (Array.isArray(list)) all.push(...branches(list.filter(isSchema)));
    }
    for (const keyword of ['if', 'then', 'else']) {
      const one = schema[keyword];
      if (isSchema(one)) all.push(...branches([one]));
    }
  }
  return all;
}

function below(schemas: readonly JsonSchema[], segment: string | number): JsonSchema[] {
  const found: unknown[] = [];
  for (const schema of schemas) {
    if (typeof segment === 'number') {
      found.push(Array.isArray(schema.items) ? schema.items[segment] : schema.items);
      continue;
    }
    if (schema.properties !== undefined && Object.hasOwn(schema.properties, segment)) {
      found.push(schema.properties[segment]);
      continue;
    }
    const patterns = Object.entries(schema.patternProperties ?? {})
      .filter(([text]) => new RegExp(text, 'u').test(segment));
    found.push(...(patterns.length > 0 ? patterns.map(([, child]) => child) : [schema.additionalProperties]));
  }
  return branches(found.filter(isSchema));
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
