// What an operator asks first when a server is slow: which commands, which keys, which values. In fixed memory, per place
// and worker; `GET /apisix/admin/insight` joins the workers.
import { definePlugin, type Hooks, type PluginContext } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import { findVariable, readKeys } from '../core/variables.ts';
import { BigValues } from './insight/big-values.ts';
import { HotKeys } from './insight/hot-keys.ts';
import { SlowRing } from './insight/slow-ring.ts';
import { sampler } from './logger/place.ts';

interface Conf {
  readonly watch: 'samples' | 'all';
  readonly sample: number;
  readonly slow_ms: number;
  readonly slow_entries: number;
  readonly top: number;
  readonly big_bytes: number;
}

// Enough to know them by; the place's memory is bounded by these, too.
const keyLimit = 128;
const longestLine = 512;
/** The count of a key is too high by 1/(4 × top) of all at most. */
const countersPerKey = 4;

export default definePlugin<Conf>({
  name: 'insight',
  version: '1.0.0',
  priority: 390,
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      watch: {
        type: 'string', enum: ['samples', 'all'], default: 'samples',
        description: 'Whose time and answer are looked at: those of samples and of big requests, or of every request, which costs the fast path.',
      },
      sample: {
        type: 'number', minimum: 0, maximum: 1, default: 0.01,
        description: 'Part of the requests whose keys are counted; with `watch: samples` also the part that is looked at.',
      },
      slow_ms: { type: 'number', minimum: 0, maximum: 3_600_000, default: 10, description: 'Milliseconds from which a command is slow.' },
      slow_entries: { type: 'integer', minimum: 1, maximum: 1000, default: 128, description: 'Newest slow commands that are kept, per worker.' },
      top: { type: 'integer', minimum: 1, maximum: 500, default: 50, description: 'Hot keys, and big values, that are shown.' },
      big_bytes: {
        type: 'integer', minimum: 1, maximum: 1_099_511_627_776, default: 102_400,
        description: 'Bytes from which a request or an answer is big. Big requests are always looked at.',
      },
    },
  },
  setup(conf, context): Hooks {
    const place = new Place(conf, context);
    return {
      log: (request) => place.answered(request),
      status: () => place.status(),
      transient: true,
      ...(conf.watch === 'all' ? {} : { select: (request: Request) => place.wants(request) }),
    };
  },
});

class Place {
  readonly #conf: Conf;
  readonly #context: PluginContext;
  readonly #chosen: () => boolean;
  readonly #key = findVariable('key', { keyLimit });
  readonly #line: (request: Request) => string;
  readonly #outcome: (request: Request) => string;
  readonly #slow: SlowRing;
  readonly #keys: HotKeys;
  readonly #big: BigValues;
  #observed = 0;

  constructor(conf: Conf, context: PluginContext) {
    this.#conf = conf;
    this.#context = context;
    this.#chosen = sampler(conf.sample);
    this.#line = context.variable('redis_cmd_line');
    this.#outcome = context.variable('outcome');
    this.#slow = new SlowRing(conf.slow_entries);
    this.#keys = new HotKeys(conf.top * countersPerKey, context.now());
    this.#big = new BigValues(conf.top);
  }

  wants(request: Request): boolean {
    return this.#isBig(request) || this.#chosen();
  }

  #isBig(request: Request): boolean {
    return request.size >= this.#conf.big_bytes;
  }

  answered(request: Request): void {
    this.#observed++;
    // Those that are here for another reason did not throw the dice yet.
    if ((this.#conf.watch === 'samples' && !this.#isBig(request)) || this.#chosen()) this.#countKeys(request);
    const took = request.endedAt - request.startedAt;
    if (took >= this.#conf.slow_ms) this.#addSlow(request, took);
    this.#addBig(request, request.bytesIn, 'in');
    this.#addBig(request, request.bytesOut, 'out');
  }

  #countKeys(request: Request): void {
    const now = this.#context.now();
    for (const key of readKeys(request, keyLimit)) this.#keys.add(key, now);
  }

  #addSlow(request: Request, took: number): void {
    const { remoteAddress, remotePort, user } = request.session;
    const line = this.#line(request);
    this.#slow.add({
      at: Date.now(), client: `${bracketed(remoteAddress)}:${remotePort}`, user: user ?? '', command: request.name,
      line: line.length > longestLine ? `${line.slice(0, longestLine)}...` : line,
      took: Math.round(took * 1000) / 1000, node: request.upstreamAddress, outcome: this.#outcome(request),
    });
  }

  #addBig(request: Request, bytes: number, direction: 'in' | 'out'): void {
    if (bytes < this.#conf.big_bytes || !this.#big.takes(bytes)) return;
    const { remoteAddress, remotePort } = request.session;
    this.#big.add({
      command: request.name, key: String(this.#key.read(request)), bytes, direction,
      client: `${bracketed(remoteAddress)}:${remotePort}`, at: Date.now(),
    });
  }

  status(): Record<string, unknown> {
    const { watch, sample, slow_entries: slowEntries, top } = this.#conf;
    return {
      watch, sample, top, slow_entries: slowEntries, observed: this.#observed, slow_total: this.#slow.total,
      keys_counted: Math.round(this.#keys.total * 10) / 10,
      slow: this.#slow.list(), hot_keys: this.#keys.list(top, this.#context.now()), big_values: this.#big.list(),
    };
  }
}

function bracketed(address: string): string {
  return address.includes(':') && !address.startsWith('unix:') ? `[${address}]` : address;
}
