// Who may ask: one check before any route, which denies what it does not know.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { TLSSocket } from 'node:tls';
import { isLoopback } from './loopback.ts';
import type { AdminKey, AdminKeys } from './keys.ts';
import { refuse, Refusal } from './refusal.ts';

/** How far a request without key gets: health is for everybody, metrics for this machine. */
export type Access = 'key' | 'local' | 'open';

export interface GuardOptions {
  /** Addresses and networks; absent: all. Others are refused before anything else. */
  readonly allow?: readonly string[];
  /** ms, of a clock that only goes forward. */
  readonly now?: () => number;
  /** Told once a minute for each expired key that is used. */
  readonly warn?: (text: string) => void;
}

const failuresPerMinute = 10;
// An attacker with a network of addresses makes no more memory than this.
const rememberedAddresses = 10_000;

export class Guard {
  readonly #keys: AdminKeys;
  readonly #access: (path: string) => Access;
  readonly #failures = new Map<string, { count: number; until: number }>();
  readonly #now: () => number;
  readonly #allowed: BlockList | null;
  readonly #warn: (text: string) => void;
  /** When each expired key was told about; Unix ms. */
  readonly #told = new Map<string, number>();

  /** `access` gets the path of the route, as it was registered; it is `key` for everything unknown. */
  constructor(keys: AdminKeys, access: (path: string) => Access, options: GuardOptions = {}) {
    this.#keys = keys;
    this.#access = access;
    this.#now = options.now ?? (() => performance.now());
    this.#allowed = options.allow === undefined ? null : networksOf(options.allow);
    this.#warn = options.warn ?? (() => undefined);
  }

  /**
   * Throws a Refusal. `route` is empty for what none was found for. Returns the key; null where none is needed.
   */
  check(request: FastifyRequest, reply: FastifyReply, route: string): AdminKey | null {
    const { socket } = request;
    if (this.#allowed !== null && !isIn(this.#allowed, socket.remoteAddress)) {
      throw refuse(403, 'this address may not use the Admin API');
    }
    refuseForeignHost(request);
    const access = this.#access(route);
    if (access === 'open' || (access === 'local' && isLoopback(socket.remoteAddress))) return null;
    const key = keyOf(request);
    // Nobody guesses by sending nothing, so it is not counted.
    if (key === '') throw unauthorized('missing apikey');
    const found = this.#keys.find(key);
    if (found !== null && !this.#isOver(found)) return found;
    this.#countFailure(networkOf(socket.remoteAddress ?? ''), reply);
    throw unauthorized('wrong apikey');
  }

  #isOver({ name, expires }: AdminKey): boolean {
    const now = Date.now();
    if (expires === null || expires > now) return false;
    if (now - (this.#told.get(name) ?? 0) >= 60_000) {
      this.#told.set(name, now);
      this.#warn(`the key ${name} was used, which expired at ${new Date(expires).toISOString()}`);
    }
    return true;
  }

  // A good key is never refused, whatever others at its address do: a forgotten script with an old key would
  // lock the operator out. A generated key cannot be guessed at any rate.
  #countFailure(network: string, reply: FastifyReply): void {
    const now = this.#now();
    let failures = this.#failures.get(network);
    if (failures === undefined || failures.until <= now) {
      this.#failures.delete(network);
      failures = { count: 0, until: now + 60_000 };
      this.#failures.set(network, failures);
      const [oldest = network] = this.#failures.keys();
      if (this.#failures.size > rememberedAddresses) this.#failures.delete(oldest);
    }
    if (++failures.count <= failuresPerMinute) return;
    reply.header('retry-after', String(Math.ceil((failures.until - now) / 1000)));
    throw new Refusal(429, { error_msg: 'failed to check token', description: 'too many wrong apikeys' });
  }
}

function unauthorized(description: string): Refusal {
  return new Refusal(401, { error_msg: 'failed to check token', description });
}

// The reference's order: the first one that is present counts.
function keyOf(request: FastifyRequest): string {
  const query = (request.query as Record<string, unknown> | null)?.['api_key'];
  if (typeof query === 'string' && query !== '') return query;
  const header = request.headers['x-api-key'];
  if (typeof header === 'string' && header !== '') return header;
  return fromOtherSite(request) ? '' : cookieKey(request.headers.cookie ?? '');
}

function cookieKey(cookies: string): string {
  return /(?:^|;\s*)x_api_key=([^;]*)/.exec(cookies)?.[1]?.trim() ?? '';
}

// Browsers send cookies by themselves; headers and queries only a page that knows the key can write.
function fromOtherSite({ headers, socket }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (typeof site === 'string') return site !== 'same-origin' && site !== 'none';
  const scheme = socket instanceof TLSSocket ? 'https' : 'http';
  return headers.origin !== undefined && headers.origin !== `${scheme}://${headers.host ?? ''}`;
}

/**
 * A page whose name was made to point at 127.0.0.1 (DNS rebinding) is of the same origin to its browser, but
 * sends its own name.
 */
function refuseForeignHost(request: FastifyRequest): void {
  const host = request.headers.host ?? '';
  if (host === '' || !isLoopback(request.socket.localAddress)) return;
  const name = host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (name === 'localhost' || isLoopback(name)) return;
  throw refuse(403, 'Host: expected localhost or a loopback address, got another name');
}

function networksOf(texts: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', bits] = text.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** An IPv4 address in IPv6 is in the networks of IPv4. A connection that is gone has no address. */
function isIn(networks: BlockList, address: string | undefined): boolean {
  const [plain = ''] = (address ?? '').split('%');
  return isIP(plain) !== 0 && networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

/** The /64 of an IPv6 address: whoever has one address has all of them. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [left = '', right = ''] = address.split('::');
  const groups = left.split(':');
  if (address.includes('::')) {
    const rest = right === '' ? [] : right.split(':');
    groups.push(...Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0'), ...rest);
  }
  return groups.slice(0, 4).join(':');
}
