// One worker thread per core, each listening on the same port. The main thread tells all of them what to run, and
// replaces one that ended or stopped answering.
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { changeOf } from './config/change.ts';
import type { UpstreamValue } from './config/schemas/upstream.ts';
import type { Config } from './config/source.ts';
import { ProxyError, type ErrorCode } from './errors.ts';
import type { Answer, Question } from './inspect.ts';
import type { LoadedModule } from './loader.ts';
import type { RunningPlane } from './local-plane.ts';
import type { Logger } from './log.ts';
import type { TailBatch, TailOptions } from './tail.ts';
import { mergeSnapshots, type Metrics, type MetricsSnapshot } from './metrics.ts';
import { SharedOccupancy } from './occupancy.ts';
import type { PlaneStatus, Rejection } from './plane.ts';
import type { Settings } from './settings.ts';
import type { ListenerCertificates } from './tls/certificate-files.ts';
import type { AnswerMessage, Call, MarkMessage, WorkerData, TailMessage } from './worker-messages.ts';

export interface WorkersOptions {
  readonly settings: Settings;
  readonly log: Logger;
  readonly windows: SharedArrayBuffer;
  readonly occupancy: SharedArrayBuffer;
  readonly workers: number;
  readonly upstream: UpstreamValue;
  /** Of the settings' files, as they are when a worker starts. */
  readonly certificates: () => ListenerCertificates;
  readonly ticketSecret: Uint8Array;
  /** What the main thread loaded. */
  readonly modules: readonly LoadedModule[];
  /** Of the main thread: replaced workers are counted here. */
  readonly metrics: Metrics;
  /** A worker that is silent for so many ms is replaced; default 5000. */
  readonly silence?: number;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: ProxyError) => void;
}

/** Reading a worker's state must not wait for one that hangs. */
const readTimeout = 1000;
const longestBackoff = 10_000;
/** Three semi-spaces of 4 MB: garbage of a burst of clients is found soon, and what is young stays in the cache. */
const resourceLimits = { maxYoungGenerationSizeMb: 12 };
/** A busy machine may take long to load a worker's modules. */
const startFactor = 6;

export class Workers implements RunningPlane {
  readonly #options: WorkersOptions;
  readonly #members: Member[];
  readonly #beat: NodeJS.Timeout;
  readonly #replaced: number;
  /** What workers had counted that are gone: totals must not go back. */
  #past: MetricsSnapshot = [];
  #embedded: ReadonlyMap<string, string> = new Map();
  #config: Config | null = null;
  readonly #tails = new Map<number, { readonly options: TailOptions; readonly show: (batch: TailBatch) => void }>();
  #lastTail = 0;
  #listening = false;
  #draining = false;
  /** By file: the last good code. */
  readonly #modules: Map<string, LoadedModule>;
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#modules = new Map(options.modules.map((module) => [module.file, module]));
    const [modules, lost] = [(): LoadedModule[] => [...this.#modules.values()], (member: Member): void => this.#lost(member)];
    const shown = (batch: TailBatch): void => this.#tails.get(batch.id)?.show(batch);
    this.#members = Array.from({ length: options.workers }, (_, index) => new Member(options, index, modules, lost, shown));
    const { metrics } = options;
    this.#replaced = metrics.counter('millrace_workers_replaced_total', 'Workers that ended or hung and were replaced.');
    const silence = options.silence ?? 5000;
    const every = Math.min(1000, silence / 2);
    let last = performance.now();
    this.#beat = setInterval(() => {
      const now = performance.now();
      // Where this thread was held up itself, answers lie unread: nobody is judged by that.
      const judging = now - last < every + 500;
      last = now;
      for (const member of this.#members) member.beat(judging ? silence : Infinity);
    }, every);
    this.#beat.unref();
  }

  setEmbedded(embedded: ReadonlyMap<string, string>): void {
    this.#embedded = embedded;
  }

  async listen(): Promise<void> {
    this.#listening = true;
    await this.#all({ name: 'listen' });
  }

  async apply(config: Config): Promise<readonly Rejection[]> {
    this.#config = config;
    const results = await this.#running((member) => member.apply(config, this.#embedded));
    const seen = new Map<string, Rejection>();
    for (const each of results.flat()) seen.set(`${each.kind} ${each.id}`, each);
    return [...seen.values()];
  }

  async loadModule(module: LoadedModule): Promise<string | null> {
    const reload = this.#reload(module);
    this.#reloading = reload.catch(() => undefined);
    return reload;
  }

  async #reload(module: LoadedModule): Promise<string | null> {
    const answers = await this.#running((member) => member.call({ name: 'loadModule', module }) as Promise<string | null>);
    const error = answers.find((text) => text !== null) ?? null;
    if (error === null) this.#modules.set(module.file, module);
    return error;
  }

  setCertificates(certificates: ListenerCertificates): void {
    // A worker that is being replaced begins with them.
    for (const member of this.#members) void member.call({ name: 'certificates', certificates }).catch(() => undefined);
  }

  async status(): Promise<readonly PlaneStatus[]> {
    return (await this.#read({ name: 'status' })) as PlaneStatus[];
  }

  async tail(options: Omit<TailOptions, 'id'>, show: (batch: TailBatch) => void): Promise<() => void> {
    const id = ++this.#lastTail;
    this.#tails.set(id, { options: { ...options, id }, show });
    const close = (): void => {
      this.#tails.delete(id);
      for (const member of this.#members) void member.call({ name: 'untail', id }).catch(() => undefined);
    };
    try {
      await this.#running((member) => member.call({ name: 'tail', options: { ...options, id } }));
    } catch (cause) {
      close();
      throw cause;
    }
    return close;
  }

  async inspect(question: Question): Promise<readonly Answer[]> {
    return (await this.#read({ name: 'inspect', question })) as Answer[];
  }

  async metrics(): Promise<MetricsSnapshot> {
    const snapshots = await Promise.all(this.#members.map((member) => member.metrics()));
    return mergeSnapshots([this.#past, ...snapshots]);
  }

  reopen(): void {
    for (const member of this.#members) void member.call({ name: 'reopen' }).catch(() => undefined);
  }

  async drain(deadline: number): Promise<void> {
    this.#draining = true;
    clearInterval(this.#beat);
    await Promise.allSettled(this.#members.map((member) => member.call({ name: 'drain', deadline }, deadline + 2000)));
    await Promise.all(this.#members.map((member) => member.end()));
  }

  #all(call: Call): Promise<unknown[]> {
    return Promise.all(this.#members.map((member) => member.call(call)));
  }

  /**
   * Answers of all workers. One that is lost meanwhile, or being replaced, is left out: it takes clients again only
   * after it was told the newest of everything. At the start there is no excuse.
   */
  async #running<T>(call: (member: Member) => Promise<T>): Promise<T[]> {
    if (!this.#listening) return Promise.all(this.#members.map(call));
    const answers = await Promise.all(this.#members.map(async (member) => {
      try {
        return { value: await call(member) };
      } catch (cause) {
        if (cause instanceof ProxyError && cause.code === 'WORKER_LOST') return null;
        throw cause;
      }
    }));
    return answers.filter((each) => each !== null).map(({ value }) => value);
  }

  /** Answers of those that answer. */
  async #read(call: Call): Promise<unknown[]> {
    const results = await Promise.allSettled(this.#members.map((member) => member.call(call, readTimeout)));
    return results.filter((each) => each.status === 'fulfilled').map((each) => each.value);
  }

  /** Starts a new thread in its place, later each time, and tells it what the others run. */
  #lost(member: Member): void {
    if (this.#draining) return;
    const { log, metrics } = this.#options;
    const wait = Math.min(longestBackoff, 100 * 2 ** member.losses);
    member.losses++;
    metrics.add(this.#replaced, 1);
    this.#past = mergeSnapshots([this.#past, member.takeTotals()]);
    log.error({ code: 'WORKER_LOST', worker: member.index, last_plugin: member.lastPlugin }, `a worker ended; a new one starts in ${wait} ms`);
    const timer = setTimeout(() => {
      if (this.#draining) return;
      member.start();
      this.#bringUp(member).then(() => {
        log.info({ code: 'WORKER_STARTED', worker: member.index }, 'a worker was replaced');
      }, (cause: unknown) => {
        log.error({ code: 'WORKER_LOST', worker: member.index, err: cause }, 'a worker could not be brought up');
        // Half a worker is none: it is started again, later.
        member.stop();
      });
    }, wait);
    timer.unref();
  }

  async #bringUp(member: Member): Promise<void> {
    // Saved while it was away: what the others took then, it takes now.
    await this.#reloading;
    for (const module of this.#modules.values()) {
      if (!member.modules.includes(module)) await member.call({ name: 'loadModule', module });
    }
    if (this.#config !== null) await member.apply(this.#config, this.#embedded);
    for (const { options } of this.#tails.values()) await member.call({ name: 'tail', options });
    if (this.#listening) await member.call({ name: 'listen' });
  }
}

class Member {
  readonly index: number;
  losses = 0;
  /** What its thread began with. */
  modules: readonly LoadedModule[] = [];
  readonly #newest: () => readonly LoadedModule[];
  readonly #options: WorkersOptions;
  readonly #onLost: (member: Member) => void;
  readonly #onTail: (batch: TailBatch) => void;
  #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #lastPlugin = new SharedArrayBuffer(4);
  readonly #marks = new Map<number, string>();
  #lastMetrics: MetricsSnapshot = [];
  #number = 0;
  /** It answered once: its modules are loaded. */
  #started = false;
  #lastAnswer = performance.now();
  #upSince = performance.now();
  #ended = false;
  /** The configuration that its thread has, or will have when it comes to its last message. */
  #told: Config | null = null;

  constructor(
    options: WorkersOptions, index: number, newest: () => readonly LoadedModule[], onLost: (member: Member) => void,
    onTail: (batch: TailBatch) => void,
  ) {
    this.#options = options;
    this.#newest = newest;
    this.index = index;
    this.#onLost = onLost;
    this.#onTail = onTail;
    this.#thread = this.#spawn();
  }

  start(): void {
    this.#ended = false;
    this.#thread = this.#spawn();
  }

  #spawn(): Worker {
    const { settings, windows, occupancy, workers, upstream, certificates, ticketSecret } = this.#options;
    const here = fileURLToPath(import.meta.url);
    this.modules = this.#newest();
    const data: WorkerData = {
      settings, windows, occupancy, lastPlugin: this.#lastPlugin, worker: this.index, workers, upstream, modules: this.modules,
      certificates: certificates(), ticketSecret,
    };
    const thread = new Worker(new URL(`worker${extname(here)}`, import.meta.url), { workerData: data, resourceLimits });
    this.#lastAnswer = this.#upSince = performance.now();
    this.#started = false;
    this.#told = null;
    this.#marks.clear();
    new Int32Array(this.#lastPlugin)[0] = 0;
    thread.on('message', (message: AnswerMessage | MarkMessage | TailMessage) => {
      if ('tail' in message) this.#onTail(message.tail);
      else if ('mark' in message) this.#marks.set(message.mark, message.name);
      else this.#answered(message);
    });
    thread.on('error', (cause) => this.#options.log.error({ code: 'WORKER_LOST', worker: this.index, err: cause }, 'a worker failed'));
    thread.on('exit', () => this.#exited(thread));
    return thread;
  }

  /** Whose hook ran last, for a thread that hangs or ended: `<plugin> of route <id>`. */
  get lastPlugin(): string | undefined {
    return this.#marks.get(new Int32Array(this.#lastPlugin)[0]!);
  }

  /** Its counters; those that it told last when it does not answer. */
  async metrics(): Promise<MetricsSnapshot> {
    try {
      this.#lastMetrics = await this.call({ name: 'metrics' }, readTimeout) as MetricsSnapshot;
    } catch {
      // It hangs or is being replaced.
    }
    return this.#lastMetrics;
  }

  /** What it had counted for good; gauges of a thread that is gone mean nothing. */
  takeTotals(): MetricsSnapshot {
    const totals = this.#lastMetrics.filter(({ type }) => type !== 'gauge');
    this.#lastMetrics = [];
    return totals;
  }

  /** Tells it what changed since it was told last. */
  async apply(config: Config, embedded: ReadonlyMap<string, string>): Promise<readonly Rejection[]> {
    const change = changeOf(this.#told, config);
    this.#told = config;
    try {
      return await this.call({ name: 'apply', change, embedded }) as readonly Rejection[];
    } catch (cause) {
      // Nobody knows how far it came: next time it hears everything.
      this.#told = null;
      throw cause;
    }
  }

  /** Rejects with WORKER_LOST when the thread is not running or ends before it answered. */
  call(call: Call, timeout = 0): Promise<unknown> {
    if (this.#ended) return Promise.reject(new ProxyError('WORKER_LOST', `worker ${this.index} is not running`));
    const number = ++this.#number;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      if (timeout > 0) {
        timer = setTimeout(() => {
          this.#waiting.delete(number);
          reject(new ProxyError('WORKER_LOST', `worker ${this.index} did not answer in ${timeout} ms`));
        }, timeout);
      }
      this.#waiting.set(number, {
        resolve: (value) => { clearTimeout(timer); resolve(value); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      this.#thread.postMessage({ number, call });
    });
  }

  #answered({ number, value, error }: AnswerMessage): void {
    this.#started = true;
    this.#lastAnswer = performance.now();
    // It ran well for a while: the next loss is a new one.
    if (this.#lastAnswer - this.#upSince > 60_000) this.losses = 0;
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return;
    this.#waiting.delete(number);
    if (error === undefined) waiting.resolve(value);
    else waiting.reject(new ProxyError(error.code as ErrorCode, error.message));
  }

  /** Asks for a sign of life, and ends a thread that gave none for too long: its event loop is stuck. */
  beat(silence: number): void {
    if (this.#ended) return;
    const longest = this.#started ? silence : silence * startFactor;
    if (performance.now() - this.#lastAnswer > longest) {
      const hung = { code: 'WORKER_LOST', worker: this.index, last_plugin: this.lastPlugin };
      this.#options.log.error(hung, `a worker was silent for ${longest} ms and is replaced`);
      this.stop();
      return;
    }
    void this.call({ name: 'ping' }).catch(() => undefined);
  }

  #exited(thread: Worker): void {
    if (thread !== this.#thread || this.#ended) return;
    this.#ended = true;
    SharedOccupancy.clear(this.#options.occupancy, this.index);
    const error = new ProxyError('WORKER_LOST', `worker ${this.index} ended`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#onLost(this);
  }

  /** Ends the thread; its exit makes the owner start another. */
  stop(): void {
    void this.#thread.terminate();
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#thread.terminate();
  }
}
