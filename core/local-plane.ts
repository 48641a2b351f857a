// The data plane in this thread: what one worker does, and what tests use.
import type { Config } from './config/source.ts';
import type { DataPlane } from './data-plane.ts';
import type { Answer, Question } from './inspect.ts';
import type { LoadedModule } from './loader.ts';
import type { MetricsSnapshot } from './metrics.ts';
import type { TailBatch, TailOptions } from './tail.ts';
import type { Plane, PlaneStatus, Rejection } from './plane.ts';
import type { ListenerCertificates } from './tls/certificate-files.ts';

/** A plane that the application starts and feeds. */
export interface RunningPlane extends Plane {
  /** Addresses of embedded servers, by protocol; used from the next `apply` on. */
  setEmbedded(embedded: ReadonlyMap<string, string>): void;
  listen(): Promise<void>;
  loadModule(module: LoadedModule): Promise<string | null>;
  /** From the settings' files, which changed. */
  setCertificates(certificates: ListenerCertificates): void;
}

export class LocalPlane implements RunningPlane {
  readonly #plane: DataPlane;
  readonly #shown = new Map<number, (batch: TailBatch) => void>();
  #lastTail = 0;
  #embedded: ReadonlyMap<string, string> = new Map();

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  setEmbedded(embedded: ReadonlyMap<string, string>): void {
    this.#embedded = embedded;
  }

  listen(): Promise<void> {
    return this.#plane.listen();
  }

  apply(config: Config): Promise<readonly Rejection[]> {
    return this.#plane.apply(config, this.#embedded);
  }

  loadModule(module: LoadedModule): Promise<string | null> {
    return this.#plane.loadModule(module);
  }

  setCertificates(certificates: ListenerCertificates): void {
    this.#plane.setCertificates(certificates);
  }

  async status(): Promise<readonly PlaneStatus[]> {
    return [this.#plane.status()];
  }

  async inspect(question: Question): Promise<readonly Answer[]> {
    return [this.#plane.inspect(question)];
  }

  async tail(options: Omit<TailOptions, 'id'>, show: (batch: TailBatch) => void): Promise<() => void> {
    const id = ++this.#lastTail;
    this.#plane.tail({ ...options, id });
    this.#shown.set(id, show);
    this.#plane.onTail = (batch) => this.#shown.get(batch.id)?.(batch);
    return () => {
      this.#shown.delete(id);
      this.#plane.untail(id);
    };
  }

  async metrics(): Promise<MetricsSnapshot> {
    return this.#plane.metrics();
  }

  reopen(): void {
    this.#plane.reopen();
  }

  drain(deadline: number): Promise<void> {
    return this.#plane.drain(deadline);
  }
}
