// The data plane as the rest of the process sees it: in this thread, or in worker threads behind messages.
import type { Config } from './config/source.ts';
import type { Kind } from './config/resource.ts';
import type { Answer, Question } from './inspect.ts';
import type { MetricsSnapshot } from './metrics.ts';
import type { At } from './problem.ts';
import type { TailBatch, TailOptions } from './tail.ts';

/** One resource that could not be put to use; its last good version goes on serving. */
export interface Rejection {
  readonly kind: Kind;
  readonly id: string;
  readonly code: string;
  readonly text: string;
  /** Where in the resource, where that is known, with what was expected there and what came. */
  readonly at?: At;
  readonly expected?: string;
  readonly got?: string;
}

export interface PlaceStatus {
  readonly plugin: string;
  readonly version: string;
  readonly route: string;
  readonly worker: number;
  readonly status: Readonly<Record<string, unknown>>;
  /** What is accepted and does nothing. */
  readonly warnings?: readonly string[];
}

/** A plugin or protocol file, as it was loaded last. */
export interface ModuleStatus {
  readonly kind: 'plugin' | 'protocol';
  readonly name: string;
  readonly file: string;
  /** How often it was loaded; each reload keeps some memory for good. */
  readonly generation: number;
  /** Why the newest version of the file is not in use; null: it is. */
  readonly error: string | null;
}

export interface ListenerStatus {
  readonly address: string;
  readonly port: number;
  readonly tls: boolean;
  /** Stream routes opened it, or the settings. */
  readonly origin: 'settings' | 'route';
  readonly error: string | null;
}

export interface PlaneStatus {
  readonly worker: number;
  readonly revision: number;
  readonly sessions: number;
  readonly places: readonly PlaceStatus[];
  readonly modules: readonly ModuleStatus[];
  readonly listeners: readonly ListenerStatus[];
}

export interface Plane {
  /** Resolves when every worker runs the configuration. */
  apply(config: Config): Promise<readonly Rejection[]>;
  status(): Promise<readonly PlaneStatus[]>;
  metrics(): Promise<MetricsSnapshot>;
  /** Of each worker that answers. */
  inspect(question: Question): Promise<readonly Answer[]>;
  /** Shows requests as they are answered, until the returned function is called. Rejects with CONFIG_INVALID. */
  tail(options: Omit<TailOptions, 'id'>, show: (batch: TailBatch) => void): Promise<() => void>;
  /** Logs and files are opened again. */
  reopen(): void;
  /** Stops accepting, lets what is under way end, and closes; at the latest after `deadline` ms. */
  drain(deadline: number): Promise<void>;
}
