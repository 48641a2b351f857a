// What the main thread and a worker say to each other. Every call is answered with its number.
import type { ConfigChange } from './config/change.ts';
import type { UpstreamValue } from './config/schemas/upstream.ts';
import type { Question } from './inspect.ts';
import type { LoadedModule } from './loader.ts';
import type { TailBatch, TailOptions } from './tail.ts';
import type { Settings } from './settings.ts';
import type { ListenerCertificates } from './tls/certificate-files.ts';

export interface WorkerData {
  readonly settings: Settings;
  readonly windows: SharedArrayBuffer;
  readonly occupancy: SharedArrayBuffer;
  /** One Int32: see last-plugin.ts. */
  readonly lastPlugin: SharedArrayBuffer;
  readonly worker: number;
  readonly workers: number;
  readonly upstream: UpstreamValue;
  /** In the order of their loading: last good code, which the disk may not have any more. */
  readonly modules: readonly LoadedModule[];
  readonly certificates: ListenerCertificates;
  readonly ticketSecret: Uint8Array;
}

export type Call =
  | { readonly name: 'listen' }
  | { readonly name: 'apply'; readonly change: ConfigChange; readonly embedded: ReadonlyMap<string, string> }
  | { readonly name: 'loadModule'; readonly module: LoadedModule }
  | { readonly name: 'certificates'; readonly certificates: ListenerCertificates }
  | { readonly name: 'status' }
  | { readonly name: 'inspect'; readonly question: Question }
  | { readonly name: 'metrics' }
  | { readonly name: 'tail'; readonly options: TailOptions }
  | { readonly name: 'untail'; readonly id: number }
  | { readonly name: 'reopen' }
  | { readonly name: 'ping' }
  | { readonly name: 'drain'; readonly deadline: number };

export interface CallMessage {
  readonly number: number;
  readonly call: Call;
}

/** Unasked: what somebody watches. */
export interface TailMessage {
  readonly tail: TailBatch;
}

/** Unasked: what a mark in `lastPlugin` stands for. */
export interface MarkMessage {
  readonly mark: number;
  readonly name: string;
}

export interface AnswerMessage {
  readonly number: number;
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}
