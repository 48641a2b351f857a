// `discovery_type: dns`: each address of a name is a node of its own; an SRV record is a node with port, weight and
// priority. Asked again when the answer's time is over; while there is no good answer, the last good one stays.
//
//   redis.example.com        SRV, and where there is none A and AAAA with the protocol's usual port
//   redis.example.com:6380   A and AAAA
//   _redis._tcp.example.com  SRV
import { unrefTimer, type Schedule } from '../upstream/schedule.ts';
import type { Discovery, Service } from './discovery.ts';
import type { DnsLookup } from './dns-lookup.ts';

export interface DnsOptions {
  readonly lookup: Pick<DnsLookup, 'addresses' | 'services'>;
  /** ms; times of answers are brought within. `most` also holds where an answer says nothing. */
  readonly least: number;
  readonly most: number;
  /** Pause after a failure, ms; it doubles up to `most`. */
  readonly negative: number;
  readonly schedule?: Schedule;
  /** 0 ≤ random() < 1 */
  readonly random?: () => number;
}

interface Answer {
  readonly nodes: readonly { readonly host: string; readonly port: number; readonly weight: number; readonly priority: number }[];
  /** ms. */
  readonly ttl: number;
}

/** Questions for the addresses of an SRV answer's targets, to learn how long it holds. */
const askedTargets = 8;

export class DnsDiscovery implements Discovery {
  readonly #options: DnsOptions;
  readonly #known = new Map<string, { nodes: Answer['nodes']; ttl_s: number }>();

  constructor(options: DnsOptions) {
    this.#options = options;
  }

  watch(service: Service, told: (nodes: unknown) => void, failed: (cause: unknown) => void): { close(): void } {
    const { schedule = unrefTimer, random = Math.random, least, most, negative } = this.#options;
    let open = true;
    let failures = 0;
    let cancel = (): void => {};
    const ask = async (): Promise<void> => {
      let pause: number;
      try {
        const { nodes, ttl } = await this.#ask(service);
        if (!open) return;
        failures = 0;
        pause = Math.min(most, Math.max(least, ttl));
        this.#known.set(service.name, { nodes, ttl_s: pause / 1000 });
        told(nodes);
      } catch (cause) {
        if (!open) return;
        pause = Math.min(most, negative * 2 ** Math.min(failures++, 20));
        failed(cause);
      }
      // Up to a tenth later, so that many do not ask in step.
      cancel = schedule(pause * (1 + random() / 10), () => void ask());
    };
    void ask();
    return {
      close: () => {
        open = false;
        cancel();
        this.#known.delete(service.name);
      },
    };
  }

  dump(): unknown {
    return Object.fromEntries(this.#known);
  }

  async #ask({ name, defaultPort }: Service): Promise<Answer> {
    const [, host = name, digits] = /^(.*?)(?::(\d{1,5}))?$/.exec(name) ?? [];
    if (digits === undefined) {
      const answer = await this.#services(host);
      if (answer !== null) return answer;
      if (host.startsWith('_')) throw new Error(`no SRV record for ${host}`);
    }
    const found = await this.#options.lookup.addresses(host);
    const port = digits === undefined ? defaultPort : Number(digits);
    return {
      nodes: found.map(({ address, family }) => ({ host: family === 6 ? `[${address}]` : address, port, weight: 1, priority: 0 })),
      ttl: this.#ttl(found),
    };
  }

  /** Null: the name has no SRV record. */
  async #services(name: string): Promise<Answer | null> {
    const { lookup } = this.#options;
    // RFC 2782: a target `.` says that there is no such service.
    const records = (await lookup.services(name)).filter((record) => record.name !== '' && record.name !== '.');
    if (records.length === 0) return null;
    const targets = [...new Set(records.map((record) => record.name))].slice(0, askedTargets);
    const answers = await Promise.allSettled(targets.map((target) => lookup.addresses(target)));
    const ttls = answers.map((each) => (each.status === 'fulfilled' ? this.#ttl(each.value) : this.#options.most));
    return {
      // Lower numbers go first there, higher ones here. A weight of 0 means little there, nothing here.
      nodes: records.map(({ name: host, port, priority, weight }) => ({ host, port, weight: Math.max(1, weight), priority: 0 - priority })),
      ttl: Math.min(...ttls),
    };
  }

  #ttl(found: readonly { readonly ttl?: number }[]): number {
    const seconds = found.flatMap(({ ttl }) => (ttl === undefined ? [] : [ttl]));
    return seconds.length === 0 ? this.#options.most : Math.min(...seconds) * 1000;
  }
}
