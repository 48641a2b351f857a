// Where connections that Millrace makes itself may lead: towards nodes, in probes, to log sinks and stores of plugins. A literal
// address is judged when it is written and when it is connected to; a name when it was looked up, each time anew.
import { lookup as systemLookup, type LookupOptions } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ProxyError } from './errors.ts';
import type { Logger } from './log.ts';
import { hexOf, parseNetwork, prefixOf, type Network } from './network.ts';
import type { Target, Targets } from './plugin.ts';

export interface TargetRulesOptions {
  /** Addresses and networks; what is in `allow` is never refused. */
  readonly allow?: readonly string[];
  readonly refuse?: readonly string[];
  /** Where the Admin API listens. */
  readonly admin?: { readonly address: string; readonly port: number };
  /** A name led, or a literal address would lead, where no connection may go. */
  readonly onRefused?: (host: string, port: number, why: string) => void;
}

const linkLocal = ['169.254.0.0/16', 'fe80::/10'].map(parseNetwork);
/** Beside the link-local 169.254.169.254: AWS and GCP by IPv6, Alibaba, Oracle's older one, Azure's host, Scaleway by IPv6. */
const metadata = [
  'fd00:ec2::/32', 'fd20:ce::254', '100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:42::42',
].map(parseNetwork);
const loopback = ['127.0.0.0/8', '::1'].map(parseNetwork);
/** IPv4 within IPv6: mapped (RFC 4291), and through a NAT64 (RFC 6052). */
const wrappings = ['00000000000000000000ffff', `0064ff9b${'0'.repeat(16)}`];
/** RFC 6761, 6.3: each such name is this machine. */
const localName = /^(.+\.)?localhost\.?$/i;
/** RFC 6761, 6.4: nobody finds it, should something look it up in spite of us. */
const nowhere = 'refused.invalid';

export class TargetRules implements Targets {
  readonly #allow: readonly Network[];
  readonly #refuse: readonly Network[];
  readonly #options: TargetRulesOptions;

  constructor(options: TargetRulesOptions = {}) {
    this.#options = options;
    this.#allow = (options.allow ?? []).map(parseNetwork);
    this.#refuse = (options.refuse ?? []).map(parseNetwork);
  }

  refusal(host: string, port: number): string | null {
    const bare = host.replace(/^\[(.*)\]$/, '$1');
    const addresses = localName.test(bare) ? ['127.0.0.1', '::1'] : isIP(bare) === 0 ? [] : [bare];
    for (const address of addresses) {
      const why = this.#why(address, port);
      if (why !== null) return `expected an address that connections may go to (targets.allow in the settings permits more), got ${host}, which is ${why}`;
    }
    return null;
  }

  dial(host: string, port: number, ask?: LookupFunction): Target {
    const refused = this.refusal(host, port);
    return refused === null ? { host, port, lookup: this.#lookup(port, ask) } : { host: nowhere, port, lookup: this.#refusing(host, port, refused) };
  }

  /** Gives only those addresses that may be connected to. */
  #lookup(port: number, ask: LookupFunction = systemLookup as LookupFunction): LookupFunction {
    return (host, options, done) => {
      // Judged already; and UDP sockets ask for the address that they are bound to in this way.
      const family = isIP(host);
      if (family !== 0) return process.nextTick(tell, [{ address: host, family }], options, done);
      ask(host, { ...options, all: true }, (error, found, kind = 0) => {
        if (error !== null) return done(error, options.all === true ? [] : '', 0);
        const all = typeof found === 'string' ? [{ address: found, family: kind }] : found;
        const reasons = all.map(({ address }) => this.#why(address, port));
        const good = all.filter((_, index) => reasons[index] === null);
        const bad = reasons.findIndex((why) => why !== null);
        if (bad !== -1) this.#options.onRefused?.(host, port, `${all[bad]!.address}, ${reasons[bad]!}`);
        if (good.length > 0) return tell(good, options, done);
        const text = bad === -1 ? `no address for ${host}` : `${host} leads to ${all[bad]!.address}, which is ${reasons[bad]!}`;
        done(new ProxyError('TARGET_REFUSED', text), options.all === true ? [] : '', 0);
      });
    };
  }

  #refusing(host: string, port: number, text: string): LookupFunction {
    return (_name, options, done) => {
      this.#options.onRefused?.(host, port, text);
      process.nextTick(done, new ProxyError('TARGET_REFUSED', text), options.all === true ? [] : '', 0);
    };
  }

  /** What is wrong with an address; null: nothing. */
  #why(address: string, port: number): string | null {
    const hex = plainOf(hexOf(address));
    if (within(hex, this.#allow)) return null;
    if (within(hex, linkLocal)) return 'a link-local address, as those of cloud metadata are';
    if (within(hex, metadata)) return 'an address of cloud metadata';
    if (this.#isAdmin(hex, port)) return 'that of the Admin API';
    return within(hex, this.#refuse) ? 'in targets.refuse' : null;
  }

  #isAdmin(hex: string, port: number): boolean {
    const { admin } = this.#options;
    if (admin === undefined || admin.port !== port) return false;
    const listens = hexOf(admin.address);
    // It listens everywhere: on whatever address this machine has now.
    return /^0+$/.test(listens) ? isOurs(hex) : hex === plainOf(listens);
  }
}

/** Refuses nothing. */
export const anywhere: Targets = new TargetRules({ allow: ['0.0.0.0/0', '::/0'] });

function isOurs(hex: string): boolean {
  return within(hex, loopback) || Object.values(networkInterfaces()).some((list = []) => list.some(({ address }) => hexOf(address) === hex));
}

/** The address that is meant: IPv4 without its wrapping, and whoever connects to "any" address reaches this machine. */
function plainOf(hex: string): string {
  if (hex === '00000000') return hexOf('127.0.0.1');
  if (/^0{32}$/.test(hex)) return hexOf('::1');
  return hex.length === 32 && wrappings.includes(hex.slice(0, 24)) ? plainOf(hex.slice(24)) : hex;
}

function within(hex: string, networks: readonly Network[]): boolean {
  const family = hex.length === 8 ? 4 : 6;
  return networks.some((network) => network.family === family && prefixOf(hex, network.bits) === network.prefix);
}

type Found = readonly { readonly address: string; readonly family: number }[];

function tell(found: Found, options: LookupOptions, done: Parameters<LookupFunction>[2]): void {
  const [first] = found;
  if (options.all === true) done(null, [...found]);
  else done(null, first!.address, first!.family);
}

/** One line a minute and target: a client that asks again and again must not fill a disk. */
const quiet = 60_000;
const mostTold = 1000;

export function refusalLog(log: Logger): NonNullable<TargetRulesOptions['onRefused']> {
  const told = new Map<string, number>();
  return (host, port, why) => {
    const now = performance.now();
    const key = `${host} ${port}`;
    if (now - (told.get(key) ?? -Infinity) < quiet) return;
    if (told.size >= mostTold) told.clear();
    told.set(key, now);
    log.warn({ code: 'TARGET_REFUSED', host, port }, why);
  };
}
