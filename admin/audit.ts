// Who changed what, or tried to: in the log, and in a table that is read back. A change and its record are one write
// of the store; what was refused is kept when it is answered.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import { MemoryAudit, type AuditedChange, type AuditLog, type AuditRecord, type KeptRecord } from '../core/config/audit.ts';
import type { Value } from '../core/config/resource.ts';
import type { Logger } from '../core/log.ts';
import { changedPlaces } from './changed-places.ts';
import type { Refusal } from './refusal.ts';

/** Larger changes and texts are cut: a record is a line, not a copy. */
const mostChanges = 100;
const mostPlaces = 50;
const longestText = 300;
/** Refused strangers in the log per minute, and in memory; they never reach the disk. */
const deniedPerMinute = 60;
const keptDenials = 200;

export interface Denial {
  readonly time: number;
  /** Whose key; absent: without a good one. */
  readonly who?: string;
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly error: string;
}

/** One request that is meant to change something. */
export class Attempt {
  readonly #base: Omit<AuditRecord, 'outcome' | 'changes'>;
  #changes: readonly AuditedChange[] = [];
  #revision: number | undefined;
  #error = '';
  /** The store has the change. */
  stored = false;
  dryRun = false;

  constructor(request: FastifyRequest, who: string) {
    const [path = ''] = request.url.split('?');
    this.#base = {
      id: randomUUID(), time: Date.now(), who, address: request.socket.remoteAddress ?? '',
      method: request.method, path: path.slice(0, longestText),
    };
  }

  /** What it changes, before it does; the record goes with the write. */
  recordOf(changes: readonly AuditedChange[]): AuditRecord {
    this.#changes = changes;
    return this.#record('done');
  }

  written(revision: number): void {
    this.stored = true;
    this.#revision = revision;
  }

  refused(error: string): void {
    this.#error = error.slice(0, longestText);
  }

  finished(status: number): AuditRecord {
    return { ...this.#record(outcomeOf(status, this.stored)), status, ...(this.#error === '' ? {} : { error: this.#error }) };
  }

  #record(outcome: AuditRecord['outcome']): AuditRecord {
    const more = this.#changes.length - mostChanges;
    return {
      ...this.#base, outcome, changes: this.#changes.slice(0, mostChanges), ...(more > 0 ? { more } : {}),
      ...(this.#revision === undefined ? {} : { revision: this.#revision }),
    };
  }
}

function outcomeOf(status: number, stored: boolean): AuditRecord['outcome'] {
  if (status < 400) return 'done';
  if (status >= 500) return 'failed';
  return stored ? 'taken back' : 'refused';
}

export function auditedChange(
  { kind, id, outcome }: Pick<AuditedChange, 'kind' | 'id' | 'outcome'>, before: Value | null, after: Value | null,
): AuditedChange {
  return { kind, id, outcome, changed: changedPlaces(before, after).slice(0, mostPlaces) };
}

export class Audit {
  readonly #kept: AuditLog;
  /** The store keeps the record of a change with the change. */
  readonly #together: boolean;
  readonly #log: Logger;
  readonly #attempts = new WeakMap<FastifyRequest, Attempt>();
  readonly #denials: Denial[] = [];
  #minute = 0;
  #denied = 0;

  /** A store that keeps no records: those of this process since its start are remembered. */
  constructor(kept: AuditLog | undefined, log: Logger) {
    this.#together = kept !== undefined;
    this.#kept = kept ?? new MemoryAudit();
    this.#log = log;
  }

  /** Call for a request whose key was accepted. */
  begin(request: FastifyRequest, who: string): void {
    const { method, url } = request;
    // Neither reads nor checks change anything.
    if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || /\/validate(\/|\?|$)/.test(url)) return;
    this.#attempts.set(request, new Attempt(request, who));
  }

  attemptOf(request: FastifyRequest): Attempt | undefined {
    return this.#attempts.get(request);
  }

  /** Before the answer leaves: who reads it finds the record. */
  async finish(request: FastifyRequest, { statusCode: status }: FastifyReply): Promise<void> {
    const attempt = this.#attempts.get(request);
    if (attempt === undefined) return;
    this.#attempts.delete(request);
    if (attempt.dryRun) return;
    const record = attempt.finished(status);
    const { id: _id, time: _time, ...shown } = record;
    this.#log[record.outcome === 'done' ? 'info' : 'warn']({ code: 'ADMIN_WRITE', ...shown }, `${record.outcome} by the Admin API`);
    if (this.#together && attempt.stored && record.outcome === 'done') return;
    try {
      await this.#kept.keep(record);
    } catch (error) {
      this.#log.error({ code: 'STORE_FAILED', err: error }, 'a refused write could not be kept in the audit table');
    }
  }

  /** Somebody without a key, with a wrong one, or one that may not. Bounded: he may try for ever. */
  denied(request: FastifyRequest, { status, body }: Refusal, who?: string): void {
    const [path = ''] = request.url.split('?');
    const error = typeof body === 'string' ? body : body.description ?? body.error_msg ?? '';
    const denial: Denial = {
      time: Date.now(), ...(who === undefined ? {} : { who }), address: request.socket.remoteAddress ?? '',
      method: request.method, path: path.slice(0, longestText), status, error,
    };
    this.#denials.unshift(denial);
    if (this.#denials.length > keptDenials) this.#denials.pop();
    const minute = Math.floor(denial.time / 60_000);
    if (minute !== this.#minute) this.#denied = 0;
    this.#minute = minute;
    if (++this.#denied > deniedPerMinute) return;
    const { time: _time, ...shown } = denial;
    this.#log.warn({ code: 'ADMIN_DENIED', ...shown }, 'a request to the Admin API was not let in');
  }

  get denials(): readonly Denial[] {
    return this.#denials;
  }

  list(before: number | undefined, limit: number): Promise<readonly KeptRecord[]> {
    return this.#kept.list({ limit, ...(before === undefined ? {} : { before }) });
  }
}
