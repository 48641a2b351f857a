// What a request says beside its body: on which condition it holds, how long, and whether it is meant.
import type { FastifyRequest } from 'fastify';
import type { Resource } from '../core/config/resource.ts';
import type { Audit } from './audit.ts';
import type { Change, WriteOptions } from './writer.ts';
import { refusalText } from './refusal.ts';

const longestTtl = 10 * 365 * 86_400;

/** `?dry_run=true`, `?force=true`. Throws a Refusal (400): who meant to try something must not have it done. */
export function writeOptions(request: FastifyRequest, audit: Audit): WriteOptions {
  const { dry_run: dryRun, force } = request.query as Readonly<Record<string, unknown>>;
  if (dryRun !== undefined && dryRun !== 'true' && dryRun !== 'false') {
    const got = JSON.stringify(dryRun).slice(0, 64);
    throw refusalText(`dry_run: expected true or false, got ${got}`, ['dry_run'], got, 'true or false');
  }
  // Any other value of force is ignored, as the reference does.
  return { dryRun: dryRun === 'true', force: force === 'true', attempt: audit.attemptOf(request) };
}

/** For a change of more than one resource: If-Match speaks of the whole configuration. */
export function wholeOptions(request: FastifyRequest, audit: Audit): WriteOptions {
  const revision = revisionOf(request);
  // There always is a configuration, so `*` asks for nothing.
  return { ...writeOptions(request, audit), nested: true, ...(revision === undefined || revision === -1 ? {} : { revision }) };
}

/** If-Match, If-None-Match and `?ttl=`. Throws a Refusal (400) when one of them cannot be read. */
export function changeConditions(request: FastifyRequest): Pick<Change, 'revision' | 'expiresAt'> {
  const revision = revisionOf(request);
  const { ttl } = request.query as Readonly<Record<string, unknown>>;
  return {
    ...(revision === undefined ? {} : { revision }),
    ...(ttl === undefined ? {} : { expiresAt: endOf(ttl) }),
  };
}

function revisionOf({ headers }: FastifyRequest): number | undefined {
  const { 'if-match': match, 'if-none-match': none } = headers;
  if (none !== undefined) {
    if (match === undefined && none.trim() === '*') return 0;
    throw refusalText('If-None-Match: expected * and no If-Match beside it', ['If-None-Match'], none.slice(0, 64), '*');
  }
  if (match === undefined) return undefined;
  if (match.trim() === '*') return -1;
  const digits = /^(?:W\/)?"?(\d{1,15})"?$/.exec(match.trim())?.[1];
  if (digits !== undefined) return Number(digits);
  throw refusalText(
    `If-Match: expected an ETag such as "12" or *, got ${JSON.stringify(match.slice(0, 64))}`, ['If-Match'], match.slice(0, 64), 'an ETag such as "12" or *');
}

function endOf(ttl: unknown): number {
  const seconds = typeof ttl === 'string' && /^\d{1,12}(\.\d+)?$/.test(ttl) ? Number(ttl) : Number.NaN;
  if (Number.isNaN(seconds)) throw refusalText('invalid argument ttl: should be a number', ['ttl'], String(ttl).slice(0, 64), 'a number');
  if (seconds > 0 && seconds <= longestTtl) return Math.ceil(Date.now() / 1000 + seconds);
  throw refusalText(`invalid argument ttl: expected more than 0 and at most ${longestTtl} seconds, got ${seconds}`, ['ttl'], String(seconds), `more than 0 and at most ${longestTtl} seconds`);
}

export function etagOf({ modifiedIndex }: Resource): string {
  return `"${modifiedIndex}"`;
}
