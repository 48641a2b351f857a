import type { FastifyInstance } from 'fastify';
import type { Audit } from './audit.ts';
import { refusalText } from './refusal.ts';

const usualLimit = 100;
const mostListed = 1000;

interface Query { readonly before?: string; readonly limit?: string }

/** What was changed or refused, newest first; and who was not let in. */
export function addAuditRoutes(server: FastifyInstance, prefix: string, audit: Audit): void {
  server.get<{ Querystring: Query }>(`${prefix}/audit`, async ({ query }) => {
    const before = numberOf('before', query.before, Number.MAX_SAFE_INTEGER);
    const limit = numberOf('limit', query.limit, mostListed) ?? usualLimit;
    return { list: await audit.list(before, limit), denied: before === undefined ? audit.denials.slice(0, limit) : [] };
  });
}

function numberOf(name: string, text: unknown, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  const shown = JSON.stringify(text).slice(0, 32);
  throw refusalText(`${name}: expected 1..${most}, got ${shown}`, [name], shown);
}
