// One question to a node: are you well?
import type { ConnectionOptions } from 'node:tls';
import type { Dial } from './node.ts';

export interface ProbeTarget {
  /** Of the node, with the port of the check. */
  readonly dial: Dial;
  /** `host:port` of it, for texts. */
  readonly address: string;
  /** Present: TLS, as the upstream's own connections do it. */
  readonly tls?: ConnectionOptions;
  readonly auth?: { readonly username?: string; readonly password: string };
  /** `checks.active` as it stands in the configuration. */
  readonly conf: Readonly<Record<string, unknown>>;
}

/** `neither`: an answer that says nothing about the node's health. */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<void | 'neither'>;

/** How a node failed; each kind has its own threshold. */
export type FailureKind = 'tcp' | 'http' | 'timeout' | 'protocol';

/** What a probe rejects with when it knows more than that there was no connection (`tcp`). */
export class ProbeFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, text: string) {
    super(text);
    this.name = 'ProbeFailure';
    this.kind = kind;
  }
}
