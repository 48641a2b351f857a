import type { ConnectionOptions } from 'node:tls';
import type { Engine } from '../engine.ts';
import type { ProxyError } from '../errors.ts';
import type { Link } from './link.ts';
import type { Node } from './node.ts';

export interface LinkOptions {
  readonly node: Node;
  readonly engine: Engine;
  readonly connectTimeout: number;
  /** How long a reply may take, in ms; 0: as long as it likes. */
  readonly replyTimeout: number;
  /** How long the server may take nothing of what waits to be written, in ms; 0 or absent: as long as it likes. */
  readonly sendTimeout?: number;
  /** Makes sure that replies are in step with requests: see `Integrity`. Not for own links. */
  readonly integrity?: 'check' | 'strict';
  readonly tls?: ConnectionOptions;
  /**
   * Asked when nothing was written yet and the link fails: who takes over what waits. Null: everything fails.
   */
  readonly substitute?: (failed: Link) => Link | null;
  /** It is closed; forget it. */
  readonly onClosed?: (link: Link, error: ProxyError) => void;
}
