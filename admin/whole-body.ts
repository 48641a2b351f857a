// A request body that is a whole configuration, in the form of a resources file.
import type { FastifyRequest } from 'fastify';
import { idText, type References } from '../core/config/check.ts';
import type { Kind, Value } from '../core/config/resource.ts';
import type { Unlisted } from '../core/config/plugin-list.ts';
import { readResources, type FileReading } from '../core/config/resource-file.ts';
import { emptyConfig } from '../core/config/source.ts';
import type { Problem } from '../core/problem.ts';
import { refuse, type ListedProblem } from './refusal.ts';

export interface WholeBody {
  /** As parsed; empty when it is no object. */
  readonly value: Value;
  readonly reading: FileReading;
}

/** JSON, or YAML when the request says so. Throws a Refusal for what is neither. */
export function wholeBody({ body, headers }: FastifyRequest, references: References): WholeBody {
  const text = Buffer.isBuffer(body) ? decoded(body) : '';
  if (text.trim() === '') throw refuse(400, 'invalid request body: empty request body');
  const format = /yaml/i.test(headers['content-type'] ?? '') ? 'yaml' : 'json';
  // The environment is that of this process; whoever sends a body has one of his own.
  const reading = readResources(text, emptyConfig(), {
    name: 'body', format, environment: {}, lines: false, references: { ...references, resource: () => undefined },
  });
  const { value, problems: [first] } = reading;
  // A text that is no document at all is answered in the reference's words.
  if (value === undefined && first !== undefined) {
    throw refuse(400, `invalid request body: ${first.text}, line ${first.line}, column ${first.column}`);
  }
  return { reading, value: typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Value : {} };
}

/** Problems as the reference lists them. */
export function listProblems(problems: readonly Problem[], body: Value): ListedProblem[] {
  return problems.map(({ at, path, text: error }) => {
    const [kind = '', index] = at;
    const id = typeof index === 'number' ? idOf(kind as Kind, (body[kind] as readonly unknown[])[index]) : '';
    return {
      resource_type: String(kind).replace(/_conf_version$/, ''), ...(id === '' ? {} : { resource_id: id }), ...(typeof index === 'number' ? { index } : {}), path, error,
    };
  });
}

/** Resources that run plugins which the body does not list. */
export function listUnlisted(unlisted: readonly Unlisted[]): ListedProblem[] {
  return unlisted.map(({ kind, id, text }) => ({ resource_type: kind, resource_id: id, path: kind, error: text }));
}

function idOf(kind: Kind, item: unknown): string {
  if (typeof item !== 'object' || item === null) return '';
  const { id, username } = item as Value;
  return idText(kind === 'consumers' ? username ?? id : id).slice(0, 128);
}

function decoded(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refuse(400, 'invalid request body: not valid UTF-8');
  }
}
