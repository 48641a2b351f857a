// Host names to addresses. Names of nodes are tracked: looked up at once, every interval and after a failure,
// in the background; a connect is answered from what is known. A failed or empty answer changes nothing: the
// last good addresses stay.
import type { LookupOptions } from 'node:dns';
import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { systemClock, type Clock } from '../clock.ts';
import { unrefTimer, type Schedule } from './schedule.ts';

export interface Address {
  readonly address: string;
  readonly family: number;
  /** Seconds for which the answer holds; absent: nobody said. */
  readonly ttl?: number;
}
export type Lookup = (host: string) => Promise<readonly Address[]>;

export interface ResolverOptions {
  readonly lookup?: Lookup;
  /** Longest time between two look-ups of a name, ms; default 30 s. Answers may say that they hold for less. */
  readonly interval?: number;
  /** … but never for less than this, ms; default 1 s. */
  readonly leastInterval?: number;
  /**
   * Failures of a name cause at most one look-up in this time, ms; default 1 s. Also the first pause after
   * an error.
   */
  readonly minInterval?: number;
  readonly clock?: Clock;
  readonly schedule?: Schedule;
  readonly onChange?: (host: string, addresses: readonly Address[]) => void;
  readonly onError?: (host: string, error: unknown) => void;
}

interface Name {
  readonly host: string;
  users: number;
  /** Last good answer, best first. */
  addresses: readonly Address[];
  asking: Promise<void> | null;
  askedAt: number;
  errors: number;
  /** How long the last good answer holds, ms. */
  holds: number;
  lastError: unknown;
  readonly watchers: Set<(addresses: ReadonlySet<string>) => void>;
  cancelTimer: () => void;
}

/** A name with more addresses than this is cut. */
const maxAddresses = 64;

export class Resolver {
  readonly #options: ResolverOptions;
  readonly #ask: Lookup;
  readonly #clock: Clock;
  readonly #schedule: Schedule;
  readonly #interval: number;
  readonly #minInterval: number;
  readonly #leastInterval: number;
  readonly #names = new Map<string, Name>();

  constructor(options: ResolverOptions = {}) {
    this.#options = options;
    // Both families, in the order of the system's own preference.
    this.#ask = options.lookup ?? ((host) => systemLookup(host, { all: true, order: 'verbatim' }));
    this.#clock = options.clock ?? systemClock;
    this.#schedule = options.schedule ?? unrefTimer;
    this.#interval = options.interval ?? 30_000;
    this.#minInterval = options.minInterval ?? 1_000;
    this.#leastInterval = options.leastInterval ?? 1_000;
  }

  /**
   * Keeps the addresses of a name fresh until closed; counted. An IP address needs nothing. `moved` is told when an
   * answer leaves an address out that was known before.
   */
  track(host: string, moved?: (addresses: ReadonlySet<string>) => void): { close(): void } {
    if (isIP(host) !== 0) return { close() {} };
    const name = this.#names.get(host) ?? this.#begin(host);
    name.users++;
    if (moved !== undefined) name.watchers.add(moved);
    let open = true;
    return {
      close: () => {
        if (!open) return;
        open = false;
        if (moved !== undefined) name.watchers.delete(moved);
        if (--name.users === 0) this.#end(name);
      },
    };
  }

  /** What is known now, best first; empty: nothing yet. */
  addresses(host: string): readonly Address[] {
    const family = isIP(host);
    return family !== 0 ? [{ address: host, family }] : (this.#names.get(host)?.addresses ?? []);
  }

  /**
   * No connection to this address (default: the best one): the next one is tried first, and the name is
   * asked again.
   */
  failed(host: string, address?: string): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    const bad = address ?? name.addresses[0]?.address;
    name.addresses = [
      ...name.addresses.filter((known) => known.address !== bad),
      ...name.addresses.filter((known) => known.address === bad),
    ];
    if (this.#clock.now() - name.askedAt >= this.#minInterval) void this.#refresh(name);
  }

  /**
   * For `net.connect`, which tries all addresses in turn, both families. Waits only when a name has never
   * been answered (the caller's connect timeout limits that); names that nobody tracks are asked each time.
   */
  readonly lookup: LookupFunction = (host, options, done) => {
    // nextTick: what the socket throws in the callback is not this promise's failure.
    this.#known(host).then(
      (addresses) => process.nextTick(tell, host, addresses, options, done),
      (error: unknown) => process.nextTick(done, error, options.all === true ? [] : '', 0),
    );
  };

  close(): void {
    for (const name of this.#names.values()) this.#end(name);
  }

  async #known(host: string): Promise<readonly Address[]> {
    const name = this.#names.get(host);
    if (name === undefined) return this.#ask(host);
    if (name.addresses.length > 0) return name.addresses;
    // A storm of connects to a name that does not exist must not become a storm of questions.
    const paused = name.asking === null && this.#clock.now() - name.askedAt < this.#minInterval;
    if (paused) throw name.lastError ?? notFound(host);
    await (name.asking ?? this.#refresh(name));
    if (name.addresses.length === 0) throw name.lastError ?? notFound(host);
    return name.addresses;
  }

  #begin(host: string): Name {
    const name: Name = {
      host, users: 0, addresses: [], asking: null, askedAt: 0, errors: 0, holds: 0, lastError: null, watchers: new Set(),
      cancelTimer: () => {},
    };
    this.#names.set(host, name);
    void this.#refresh(name);
    return name;
  }

  #end(name: Name): void {
    name.cancelTimer();
    this.#names.delete(name.host);
  }

  /** One question at a time for each name, however slow the answer is. Never rejects. */
  #refresh(name: Name): Promise<void> {
    name.asking ??= this.#question(name).finally(() => {
      name.asking = null;
    });
    return name.asking;
  }

  async #question(name: Name): Promise<void> {
    name.cancelTimer();
    name.askedAt = this.#clock.now();
    try {
      const answer = await this.#ask(name.host);
      if (answer.length === 0) throw notFound(name.host);
      name.errors = 0;
      name.holds = this.#holds(answer);
      this.#take(name, answer);
    } catch (error) {
      name.errors++;
      name.lastError = error;
      if (this.#names.get(name.host) === name) this.#options.onError?.(name.host, error);
    }
    if (this.#names.get(name.host) !== name) return;
    const pause = name.errors === 0 ? name.holds : this.#minInterval * 2 ** Math.min(name.errors - 1, 20);
    name.cancelTimer = this.#schedule(Math.min(pause, this.#interval), () => void this.#refresh(name));
  }

  #holds(answer: readonly Address[]): number {
    const seconds = answer.flatMap(({ ttl }) => (ttl === undefined ? [] : [ttl]));
    return seconds.length === 0 ? this.#interval : Math.max(this.#leastInterval, Math.min(...seconds) * 1000);
  }

  /** Known addresses keep their order, in which those that failed stand last. */
  #take(name: Name, answer: readonly Address[]): void {
    const offered = new Map(answer.slice(0, maxAddresses).map((entry) => [entry.address, entry]));
    const kept = name.addresses.filter(({ address }) => offered.has(address));
    for (const { address } of kept) offered.delete(address);
    const left = kept.length !== name.addresses.length;
    name.addresses = [...kept, ...offered.values()];
    if (this.#names.get(name.host) !== name) return;
    if (left || offered.size > 0) this.#options.onChange?.(name.host, name.addresses);
    if (!left) return;
    const addresses = new Set(name.addresses.map(({ address }) => address));
    for (const moved of name.watchers) moved(addresses);
  }
}

function tell(
  host: string,
  addresses: readonly Address[],
  options: LookupOptions,
  done: Parameters<LookupFunction>[2],
): void {
  const family = options.family === 4 || options.family === 6 ? options.family : 0;
  const fit = addresses.filter((known) => family === 0 || known.family === family);
  const [first] = fit;
  if (first === undefined) done(notFound(host), options.all === true ? [] : '', 0);
  else if (options.all === true) done(null, fit);
  else done(null, first.address, first.family);
}

function notFound(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`no address for ${host}`), { code: 'ENOTFOUND' });
}
