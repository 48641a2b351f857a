import { connect } from 'node:net';
import type { Dial } from './node.ts';

/** The plainest probe: the node accepts a fresh connection, which is closed at once. */
export function tcpProbe({ dial }: { readonly dial: Dial }, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...dial, signal });
    socket.once('connect', () => {
      // Not resetAndDestroy: servers log a reset, and a probe is no event for them.
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}
