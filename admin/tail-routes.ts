// Requests as they are answered, as server-sent events.
import type { FastifyInstance } from 'fastify';
import { ProxyError } from '../core/errors.ts';
import type { Plane } from '../core/plane.ts';
import { refusalText, refuse } from './refusal.ts';

/** Watchers at a time: each costs every worker a look at every request. */
const mostTails = 5;
const usualRate = 100;
const highestRate = 10_000;
const alive = 15_000;
/** A watcher that does not read is cut off before it costs more memory than this. */
const mostUnsent = 4 * 1024 * 1024;

type Query = Readonly<Record<string, unknown>>;

/** Answers what ends all of them: before the server closes. */
export function addTailRoutes(server: FastifyInstance, prefixes: readonly string[], plane: Pick<Plane, 'tail'>): () => void {
  const open = new Set<() => void>();
  for (const prefix of prefixes) {
    server.get<{ Querystring: Query }>(`${prefix}/tail`, async (request, reply) => {
      const filter = filterOf(request.query['filter']);
      const rate = numberOf(request.query, 'rate', usualRate);
      let left = numberOf(request.query, 'limit', Infinity);
      if (open.size >= mostTails) throw refuse(429, `expected at most ${mostTails} watchers at a time`);
      const { raw } = reply;
      const end = (): void => void raw.end();
      open.add(end);
      let stop = (): void => undefined;
      try {
        stop = await plane.tail({ filter, rate }, ({ records, dropped }) => {
          if (raw.writableLength > mostUnsent) return end();
          for (const record of records.slice(0, left)) raw.write(`data: ${JSON.stringify(record)}\n\n`);
          if (dropped > 0) raw.write(`event: dropped\ndata: ${dropped}\n\n`);
          left -= records.length;
          if (left <= 0) end();
        });
      } catch (error) {
        open.delete(end);
        if (error instanceof ProxyError && error.code === 'CONFIG_INVALID') throw refusalText(error.message, ['filter']);
        throw error;
      }
      reply.hijack();
      raw.writeHead(200, { ...reply.getHeaders() as Record<string, string>, 'content-type': 'text/event-stream' });
      raw.write(': what is answered from now on\n\n');
      const beat = setInterval(() => raw.write(': alive\n\n'), alive);
      raw.once('close', () => {
        clearInterval(beat);
        open.delete(end);
        stop();
      });
    });
  }
  return () => { for (const end of open) end(); };
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
