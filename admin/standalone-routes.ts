// API-driven standalone: the whole configuration comes in one request and is in force as one step.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { References } from '../core/config/check.ts';
import type { Standalone, WholePlan } from '../core/config/standalone.ts';
import type { Config } from '../core/config/source.ts';
import type { Logger } from '../core/log.ts';
import type { Audit } from './audit.ts';
import { wholeOptions } from './conditions.ts';
import { showDryRun, type LiveSessions } from './dry-run.ts';
import { Refusal, refusalOf, refuse } from './refusal.ts';
import type { Registry } from './registry.ts';
import { resourceRows } from './resources.ts';
import { withoutSecrets } from './secrets.ts';
import { listProblems, listUnlisted, wholeBody } from './whole-body.ts';
import type { Change, Result, Writer } from './writer.ts';

export interface StandaloneRoutesOptions {
  /** Null: this Millrace is not standalone. */
  readonly standalone: Standalone | null;
  readonly store: { readonly config: Config };
  readonly references: References;
  readonly registry: Registry;
  readonly writer: Writer;
  readonly audit: Audit;
  readonly sessions: LiveSessions;
  readonly log: Logger;
}

const longestDigest = 1024;

export function addStandaloneRoutes(server: FastifyInstance, prefix: string, options: StandaloneRoutesOptions): void {
  const { standalone } = options;
  server.put(`${prefix}/configs`, async (request, reply) => {
    if (standalone === null) {
      throw refuse(405, 'a whole configuration is taken with admin.standalone: true in the settings only; PATCH changes a part of this one');
    }
    return replaceWhole(request, reply, standalone, options);
  });
}

/** `X-Digest` and `X-Last-Modified`, once there is something to speak of. */
export function addDigest(reply: FastifyReply, standalone: Standalone | null): void {
  const received = standalone?.received ?? null;
  if (received !== null) reply.headers({ 'x-digest': received.digest, 'x-last-modified': String(received.time) });
}

// One after another: a version or digest that was compared must still be that one when it is replaced.
const turns = new WeakMap<Standalone, Promise<unknown>>();

function replaceWhole(
  request: FastifyRequest, reply: FastifyReply, standalone: Standalone, options: StandaloneRoutesOptions,
): Promise<FastifyReply> {
  const result = (turns.get(standalone) ?? Promise.resolve()).then(() => replaceInTurn(request, reply, standalone, options));
  turns.set(standalone, result.catch(() => undefined));
  return result;
}

async function replaceInTurn(
  request: FastifyRequest, reply: FastifyReply, standalone: Standalone, { store, references, registry, writer, audit, sessions, log }: StandaloneRoutesOptions,
): Promise<FastifyReply> {
  const digest = digestOf(request);
  if (digest === standalone.received?.digest) {
    addDigest(reply, standalone);
    return reply.code(204).send();
  }
  const { value: body, reading } = wholeBody(request, references);
  const unchanged = standalone.unchanged(body);
  const problems = [...standalone.problems(body, reading), ...reading.problems.filter(({ at }) => !unchanged.has(String(at[0])))];
  const [first] = problems;
  if (first !== undefined) {
    throw new Refusal(400, { error_msg: refusalOf([first])!.message, errors: listProblems(problems, body) });
  }

  const plan = standalone.plan({
    body, reading, config: store.config, shown: (kind, id, value) => withoutSecrets(kind, id, value, registry),
  });
  const unlisted = standalone.unlisted(plan, store.config);
  if (unlisted.length > 0) throw new Refusal(400, { error_msg: unlisted[0]!.text, errors: listUnlisted(unlisted) });
  const changes = plan.changes.map(({ kind, id, value }): Change => ({
    row: resourceRows.find((row) => row.kind === kind)!, id, make: () => value ?? undefined,
  }));
  const how = { ...wholeOptions(request, audit), whole: true };
  if (how.dryRun === true) return reply.send(await showDryRun(await writer.write(changes, how), { registry, sessions }));
  const result = await writeListed(standalone, plan, () => writer.write(changes, how));
  standalone.take(plan, { digest, time: Math.floor(Date.now() / 1000) });
  for (const { message } of reading.warnings.filter(({ at }) => typeof at[1] !== 'number')) log.warn({ code: 'CONFIG_INVALID' }, message);
  log.info({ code: 'CONFIG_RELOADED', revision: result.revision, changes: changes.length }, 'a whole configuration was taken');
  addDigest(reply, standalone);
  return reply.code(202).send();
}

/** A plugin that the whole lists may run before the whole is in force, not after one that was refused. */
async function writeListed(standalone: Standalone, plan: WholePlan, write: () => Promise<Result>): Promise<Result> {
  const undo = standalone.begin(plan);
  try {
    return await write();
  } catch (error) {
    undo();
    throw error;
  }
}

function digestOf({ headers }: FastifyRequest): string {
  const { 'x-digest': digest } = headers;
  if (typeof digest !== 'string' || digest === '') throw refuse(400, 'missing digest header');
  if (digest.length > longestDigest) throw refuse(400, `X-Digest: expected at most ${longestDigest} characters, got ${digest.length}`);
  return digest;
}
