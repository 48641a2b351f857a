// What the upstreams of one data plane share: checks, services, names.
import { createHash } from 'node:crypto';
import { serviceNames } from './config/service-names.ts';
import type { Config } from './config/source.ts';
import type { Discovery } from './discovery/discovery.ts';
import { DnsDiscovery } from './discovery/dns.ts';
import { DnsLookup } from './discovery/dns-lookup.ts';
import { FileDiscovery } from './discovery/file.ts';
import { Services } from './discovery/services.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Registry } from './registry.ts';
import type { Settings } from './settings.ts';
import { Checks } from './upstream/checks.ts';
import { Resolver } from './upstream/resolve.ts';
import { serviceOf, type Surroundings, type Upstream, type UpstreamConf } from './upstream/upstream.ts';

export interface UpstreamSurroundingsOptions {
  readonly settings: Pick<Settings, 'dns' | 'discovery'>;
  readonly registry: Registry;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly worker: number;
  readonly workers: number;
  /** The same in all workers, and known to nobody else. */
  readonly secret: Uint8Array;
}

/** ms that a new configuration waits for the nodes of services that nobody asked for before. */
const patience = 1000;

export class UpstreamSurroundings implements Surroundings {
  readonly checks: Checks;
  readonly services: Services;
  readonly resolver: Resolver;
  readonly log: Logger;
  readonly live = new Set<Upstream>();
  #prepared: { close(): void } | null = null;

  constructor(options: UpstreamSurroundingsOptions) {
    const { settings: { dns, discovery }, registry, log, metrics, worker, workers } = options;
    this.log = log;
    const lookup = new DnsLookup({ servers: dns.servers, timeout: dns.timeout_s * 1000 });
    const [least, most, negative] = [dns.min_ttl_s * 1000, dns.refresh_s * 1000, dns.negative_ttl_s * 1000];
    this.resolver = new Resolver({
      interval: most, leastInterval: least, minInterval: negative,
      // The system's own way knows /etc/hosts and search domains, but no times.
      ...(dns.servers.length === 0 ? {} : { lookup: (host) => lookup.addresses(host) }),
    });
    this.checks = new Checks({
      metrics, worker,
      probe: (type) => {
        const protocol = registry.protocols.get(type)?.value;
        return protocol?.probe === undefined ? undefined : (target, signal) => protocol.probe!(target, signal);
      },
      channel: workers === 1 ? null : createHash('sha256').update('checks').update(options.secret).digest('base64url'),
    });
    const makers: Readonly<Record<string, () => Discovery>> = {
      dns: () => new DnsDiscovery({ lookup, least, most, negative }),
      ...(discovery.file === undefined ? {} : { file: () => new FileDiscovery(discovery.file!) }),
      ...Object.fromEntries(registry.discoveries),
    };
    this.services = new Services({
      log, metrics, discovery: (type) => (Object.hasOwn(makers, type) ? makers[type]!() : undefined),
    });
  }

  /**
   * Asks for the services of a configuration before its routes are built: a route that changes to another service would
   * be without nodes for a moment. They are watched until the next configuration, whether a route uses them or not:
   * otherwise each change would ask for those anew that nobody uses.
   */
  prepare(config: Config, defaultPort: number): Promise<unknown> | null {
    const confs = serviceNames(config);
    const before = this.#prepared;
    const next = confs.length === 0 ? null
      : this.services.prepare(confs.map((conf) => serviceOf(conf as UpstreamConf, defaultPort)), patience);
    this.#prepared = next;
    before?.close();
    return next?.ready ?? null;
  }

  close(): void {
    this.checks.close();
    this.services.close();
    this.resolver.close();
  }
}
