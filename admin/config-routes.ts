// The configuration as a whole: read, checked, changed in one piece.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { stringify } from 'yaml';
import { idText } from '../core/config/check.ts';
import type { References } from '../core/config/check.ts';
import { joinLists, onlyListed } from '../core/config/plugin-list.ts';
import { isKind, kindNames, type Value } from '../core/config/resource.ts';
import type { Config } from '../core/config/source.ts';
import { Standalone } from '../core/config/standalone.ts';
import { nearest, problem, show, type At, type Problem } from '../core/problem.ts';
import type { Audit } from './audit.ts';
import { wholeOptions } from './conditions.ts';
import { showDryRun, type LiveSessions } from './dry-run.ts';
import { parseBody } from './json-body.ts';
import { Refusal, refusalOf, refusalText, refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import { keyOf, resourceRows, type ResourceRow } from './resources.ts';
import { withoutSecrets } from './secrets.ts';
import { addDigest } from './standalone-routes.ts';
import { listProblems, listUnlisted, wholeBody } from './whole-body.ts';
import type { Change, Writer } from './writer.ts';

export interface ConfigRoutesOptions {
  readonly config: { readonly config: Config };
  readonly store: { readonly config: Config };
  readonly registry: Registry;
  readonly references: References;
  readonly writer: Writer;
  readonly sessions: LiveSessions;
  readonly audit: Audit;
  /** Null: resources come one by one. */
  readonly standalone: Standalone | null;
}

const mostChanges = 1000;

export function addConfigRoutes(server: FastifyInstance, prefix: string, options: ConfigRoutesOptions): void {
  const { config, store, registry, references, writer, audit, standalone } = options;
  // The store's revision: what a rollback or a change of several may be bound to.
  server.get(`${prefix}/configs`, async (request, reply) => {
    const shown = whole(config.config, registry, standalone);
    addDigest(reply.header('etag', `"${store.config.revision}"`), standalone);
    if (!/\byaml\b/i.test(request.headers.accept ?? '')) return reply.send(shown);
    return reply.type('application/yaml').send(stringify(shown));
  });
  server.patch(`${prefix}/configs`, async (request) => {
    const changes = changesIn(bodyOf(request));
    const how = wholeOptions(request, audit);
    const result = await writer.write(changes, how);
    if (how.dryRun === true) return showDryRun(result, options);
    return {
      revision: result.revision,
      changes: result.outcomes.map(({ row, id, outcome }) => ({ key: keyOf(row, id), outcome })),
    };
  });
  server.post(`${prefix}/configs/validate`, async (request) => {
    const { value, reading } = wholeBody(request, references);
    // References that lead nowhere are warnings to a file, because the other half may come; here all is said.
    const missing = reading.warnings.filter(({ at }) => typeof at[1] === 'number');
    const { rejections: unlisted } = onlyListed(reading.config, reading.config.plugins);
    const numbers = (standalone ?? new Standalone()).problems(value, reading);
    const errors = [...listProblems([...numbers, ...reading.problems, ...missing], value), ...listUnlisted(unlisted)];
    if (errors.length > 0) throw new Refusal(400, { error_msg: 'Configuration validation failed', errors });
    return {};
  });
  server.post<{ Params: { kind: string } }>(`${prefix}/schema/validate/:kind`, async (request, reply) => {
    const refusal = refusalOf(problemsOfOne(rowOf(request.params.kind), bodyOf(request), writer));
    if (refusal !== null) throw refusal;
    return reply.send('');
  });
}

/** Of a body that may say its id in full. */
function problemsOfOne(row: ResourceRow, body: unknown, writer: Writer): readonly Problem[] {
  const { [row.idMember]: given, ...rest } = objectOf(body);
  const isPair = row.path.includes(':');
  if (given === undefined && row.kind === 'plugin_metadata') throw refusalText(row.missingId, ['id'], 'nothing');
  if (given === undefined || isPair && !idText(given).includes('/')) {
    const id = isPair ? `any/${given === undefined ? 'one' : idText(given)}` : 'any';
    // Whose it is, or where it is looked up, is not known; a made-up id says nothing about that.
    return writer.check([{ row, id, make: () => body }]).filter(({ at }) => !isPair || at[0] !== 'id');
  }
  // The reference's form of a credential's id: `jack/credentials/1`.
  const id = row.kind === 'credentials' ? idText(given).replace('/credentials/', '/') : idText(given);
  return writer.check([{ row, id, make: () => (row.idMember === 'id' ? rest : body) }]);
}

/** Like a resources file, without secrets. */
function whole(config: Config, registry: Registry, standalone: Standalone | null): Record<string, unknown> {
  const lists = kindNames.map((kind) => [kind, [...config.resources[kind].values()].map(({ id, value }) => {
    const index = standalone?.indexOf(kind, id);
    return {
      ...(kind === 'consumers' ? {} : { id }), ...withoutSecrets(kind, id, value, registry),
      ...(index === undefined ? {} : { modifiedIndex: index }),
    };
  })]);
  const plugins = joinLists([config.plugins, standalone?.plugins]);
  return {
    ...Object.fromEntries(lists), ...(plugins === undefined ? {} : { plugins: [...plugins].map((name) => ({ name })) }), ...standalone?.versions,
  };
}

/** `{ kind: { id: value, other: null } }`: null deletes. */
function changesIn(body: unknown): Change[] {
  const changes: Change[] = [];
  for (const [name, byId] of Object.entries(objectOf(body, [], 'an object of kinds'))) {
    const row = rowOf(name);
    for (const [id, value] of Object.entries(objectOf(byId, [name], 'an object of ids'))) {
      changes.push({ row, id, make: () => (value === null ? undefined : value) });
    }
  }
  if (changes.length === 0) throw refusalText('expected {"<kind>": {"<id>": value or null}}, got no change');
  if (changes.length > mostChanges) throw refusalText(`expected at most ${mostChanges} changes at once, got ${changes.length}`);
  return changes;
}

function rowOf(name: string): ResourceRow {
  const row = isKind(name) ? resourceRows.find(({ kind }) => kind === name) : undefined;
  if (row !== undefined) return row;
  const meant = nearest(name, kindNames);
  throw refuse(400, `unknown kind ${JSON.stringify(name.slice(0, 64))}${meant === undefined ? '' : `, did you mean "${meant}"?`}`);
}

function bodyOf({ body }: FastifyRequest): unknown {
  const value = Buffer.isBuffer(body) ? parseBody(body) : undefined;
  if (value === undefined) throw refuse(400, 'missing configurations');
  return value;
}

function objectOf(value: unknown, at: At = [], expected = 'an object'): Value {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Value;
  throw refusalOf([problem(at, expected, show(value))])!;
}
