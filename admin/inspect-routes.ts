// Live sessions, and why a connection goes where it goes.
import type { FastifyInstance } from 'fastify';
import { isIP } from 'node:net';
import { unixClient } from '../core/endpoint.ts';
import type { ExplainAnswer, KillAnswer, SessionFilter, SessionsAnswer } from '../core/inspect.ts';
import type { Plane } from '../core/plane.ts';
import { notFound, refusalText } from './refusal.ts';

type Query = Readonly<Record<string, unknown>>;

const filters = ['route', 'client', 'user', 'protocol', 'idle'] as const;
const usualLimit = 100;
const mostListed = 10_000;

export function addInspectRoutes(server: FastifyInstance, prefix: string, plane: Pick<Plane, 'inspect'>): void {
  server.get<{ Querystring: Query }>(`${prefix}/sessions`, async ({ query }) => {
    known(query, [...filters, 'limit', 'after']);
    const after = numberOf(query, 'after', 0, Number.MAX_SAFE_INTEGER);
    const filter = { ...filterOf(query), ...(after === undefined ? {} : { after }) };
    const limit = numberOf(query, 'limit', 1, mostListed) ?? usualLimit;
    const answers = await plane.inspect({ what: 'sessions', filter, limit }) as readonly SessionsAnswer[];
    const list = answers.flatMap((each) => each.list).toSorted((a, b) => a.id - b.id);
    return { total: answers.reduce((sum, { total }) => sum + total, 0), list: list.slice(0, limit) };
  });
  server.get<{ Params: { id: string } }>(`${prefix}/sessions/:id`, async ({ params }) => {
    const answers = await plane.inspect({ what: 'sessions', filter: { id: idOf(params.id) }, limit: 1 }) as readonly SessionsAnswer[];
    const [session] = answers.flatMap(({ list }) => list);
    if (session === undefined) throw notFound;
    return session;
  });
  server.delete<{ Querystring: Query }>(`${prefix}/sessions`, async ({ query }) => {
    known(query, filters);
    const filter = filterOf(query);
    if (Object.keys(filter).length === 0) {
      throw refusalText(`expected one of ${filters.join(', ')}: without any, every client would be cut off`);
    }
    return { killed: await kill(plane, filter) };
  });
  server.delete<{ Params: { id: string } }>(`${prefix}/sessions/:id`, async ({ params }) => {
    const killed = await kill(plane, { id: idOf(params.id) });
    if (killed === 0) throw notFound;
    return { killed };
  });
  server.get<{ Querystring: Query }>(`${prefix}/explain`, async ({ query }) => {
    known(query, ['server', 'client', 'sni', 'command']);
    const words = (textOf(query, 'command') ?? '').split(/\s+/).filter((word) => word !== '');
    const server = textOf(query, 'server') ?? '127.0.0.1:9101';
    const [address, port] = splitAddress(server);
    const client = addressOf(textOf(query, 'client') ?? (address.startsWith(unixClient) ? unixClient : '127.0.0.1'), 'client');
    const sni = textOf(query, 'sni')?.toLowerCase() ?? null;
    const origin = { remoteAddress: client, remotePort: 0, localAddress: address, localPort: port, sni, tls: sni !== null };
    // All workers run the same routes.
    const [answer] = await plane.inspect({ what: 'explain', origin, words }) as readonly ExplainAnswer[];
    return { connection: { client, server: address.startsWith(unixClient) ? address : `${address}:${port}`, sni }, ...answer };
  });
}

async function kill(plane: Pick<Plane, 'inspect'>, filter: SessionFilter): Promise<number> {
  const answers = await plane.inspect({ what: 'kill', filter }) as readonly KillAnswer[];
  return answers.reduce((sum, { killed }) => sum + killed, 0);
}

/** A filter that is misspelt, empty or there twice would leave more sessions than were meant. */
function known(query: Query, names: readonly string[]): void {
  for (const [name, value] of Object.entries(query)) {
    if (!names.includes(name)) {
      throw refusalText(`${name.slice(0, 64)}: expected one of ${names.join(', ')}`, [name.slice(0, 64)]);
    }
    if (typeof value !== 'string') throw refusalText(`${name}: expected it once`, [name]);
    if (value === '') throw refusalText(`${name}: expected a value, got nothing`, [name]);
  }
}

function filterOf(query: Query): SessionFilter {
  const idle = numberOf(query, 'idle', 0, 1e9);
  const texts = (['route', 'client', 'user', 'protocol'] as const)
    .map((name) => [name, textOf(query, name)] as const).filter(([, text]) => text !== undefined);
  const client = textOf(query, 'client');
  if (client !== undefined) addressOf(client, 'client');
  return { ...Object.fromEntries(texts), ...(client === undefined ? {} : { client: client.replace(/^\[(.*)\]$/, '$1') }), ...(idle === undefined ? {} : { idle }) };
}

function textOf(query: Query, name: string): string | undefined {
  const value = query[name];
  return typeof value === 'string' && value !== '' ? value.slice(0, 512) : undefined;
}

function numberOf(query: Query, name: string, least: number, most: number): number | undefined {
  const text = textOf(query, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value >= least && value <= most) return value;
  throw refusalText(`${name}: expected a number ${least}..${most}, got ${JSON.stringify(text.slice(0, 32))}`, [name], text.slice(0, 32));
}

function idOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refusalText(`id: expected the number of a session, got ${JSON.stringify(text.slice(0, 32))}`, ['id'], text.slice(0, 32));
}

function addressOf(text: string, name: string): string {
  const address = text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0 || (name === 'client' && address === unixClient)) return address;
  throw refusalText(`${name}: expected an IP address, got ${JSON.stringify(text.slice(0, 64))}`, [name], text.slice(0, 64));
}

function splitAddress(text: string): [address: string, port: number] {
  if (text.startsWith(`${unixClient}/`)) return [text, 0];
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !(port >= 1 && port <= 65535)) {
    throw refusalText(`server: expected address:port or unix:/path, got ${JSON.stringify(text.slice(0, 64))}`, ['server'], text.slice(0, 64));
  }
  return [addressOf(text.slice(0, colon), 'server'), port];
}
