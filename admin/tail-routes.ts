// Requests as they are answered, as server-sent events.
import type { FastifyInstance } from 'fastify';
import { ProxyError } from '../core/errors.ts';
import type { Plane } from '../core/plane.ts';
import { refusalText, refuse } from './refusal.ts';
import { Watcher } from './watcher.ts';

/** Watchers at a time: each costs every worker a look at every request. */
const mostTails = 5;
const usualRate = 100;
const highestRate = 10_000;

type Query = Readonly<Record<string, unknown>>;

/** Answers what ends all of them: before the server closes. */
export function addTailRoutes(server: FastifyInstance, prefixes: readonly string[], plane: Pick<Plane, 'tail'>): () => void {
  const open = new Set<Watcher>();
  for (const prefix of prefixes) {
    server.get<{ Querystring: Query }>(`${prefix}/tail`, async (request, reply) => {
      const filter = filterOf(request.query['filter']);
      const rate = numberOf(request.query, 'rate', usualRate);
      const limit = numberOf(request.query, 'limit', Infinity);
      if (open.size >= mostTails) throw refuse(429, `expected at most ${mostTails} watchers at a time`);
      const watcher = new Watcher(reply.raw, limit);
      open.add(watcher);
      try {
        const stop = await plane.tail({ filter, rate }, (batch) => watcher.show(batch));
        watcher.onGone(() => {
          open.delete(watcher);
          stop();
        });
      } catch (error) {
        open.delete(watcher);
        if (error instanceof ProxyError && error.code === 'CONFIG_INVALID') throw refusalText(error.message, ['filter']);
        throw error;
      }
      reply.hijack();
      watcher.begin(reply.getHeaders() as Record<string, string>);
    });
  }
  return () => { for (const each of open) each.end(); };
}

function filterOf(text: unknown): readonly unknown[] {
  if (text === undefined || text === '') return [];
  try {
    const filter: unknown = JSON.parse(String(text as string).slice(0, 10_000));
    if (Array.isArray(filter)) return filter;
  } catch {
    // Told below.
  }
  throw refusalText('filter: expected an expression such as [["command","==","get"]]', ['filter']);
}

function numberOf(query: Query, name: string, usual: number): number {
  const text = query[name];
  if (text === undefined) return usual;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= highestRate) return value;
  throw refusalText(`${name}: expected a whole number 1..${highestRate}, got ${JSON.stringify(String(text as string).slice(0, 32))}`, [name]);
}
