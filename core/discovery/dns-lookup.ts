// Questions to name servers, with the times for which answers hold.
import { Resolver } from 'node:dns/promises';
import type { SrvRecord } from 'node:dns';
import type { Address } from '../upstream/resolve.ts';

export interface DnsLookupOptions {
  /** `address` or `address:port`; empty: those of the system. */
  readonly servers: readonly string[];
  /** For one question to one server, ms. */
  readonly timeout: number;
}

/** Answers longer than this are cut. */
const mostRecords = 1000;

export class DnsLookup {
  readonly #options: DnsLookupOptions;

  constructor(options: DnsLookupOptions) {
    this.#options = options;
  }

  /** A and AAAA; `ttl` in seconds. Rejects when neither answers, or the name has neither. */
  async addresses(host: string): Promise<readonly Address[]> {
    // RFC 6761, 6.3: no question for a name server.
    if (/^(.+\.)?localhost\.?$/i.test(host)) return [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }];
    const resolver = this.#resolver();
    const [four, six] = await Promise.allSettled([
      resolver.resolve4(host, { ttl: true }), resolver.resolve6(host, { ttl: true }),
    ]);
    const found = [
      ...(four.status === 'fulfilled' ? four.value.map((each) => ({ ...each, family: 4 })) : []),
      ...(six.status === 'fulfilled' ? six.value.map((each) => ({ ...each, family: 6 })) : []),
    ];
    if (found.length > 0) return found.slice(0, mostRecords);
    // A family without records is no trouble; the other one may have met some.
    const failures = [four, six].flatMap((each) => (each.status === 'rejected' ? [each.reason as NodeJS.ErrnoException] : []));
    throw failures.find(({ code }) => !isAbsent(code)) ?? failures[0] ?? new Error(`no address for ${host}`);
  }

  /** Empty: the name has none. */
  async services(name: string): Promise<readonly SrvRecord[]> {
    try {
      return (await this.#resolver().resolveSrv(name)).slice(0, mostRecords);
    } catch (cause) {
      if (isAbsent((cause as NodeJS.ErrnoException).code)) return [];
      throw cause;
    }
  }

  // A new one each time: one that has seen a server fail goes on with the next for good.
  #resolver(): Resolver {
    const { servers, timeout } = this.#options;
    const resolver = new Resolver({ timeout, tries: 2 });
    if (servers.length > 0) resolver.setServers(servers);
    return resolver;
  }
}

function isAbsent(code: string | undefined): boolean {
  return code === 'ENODATA' || code === 'ENOTFOUND';
}
