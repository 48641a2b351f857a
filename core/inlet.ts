// The one place that touches a socket's handle. All sockets of a worker read into the same static buffer, which is
// safe because the callback is synchronous and whoever keeps bytes copies them. Worth 11–15 % CPU; where Node's
// handle is not as expected (TLS, a future version), the `data` event does the same, a little dearer.
import { Socket } from 'node:net';

/** Takes `length` bytes from the start of `bytes`; they are overwritten by the next read. */
export type Sink = (bytes: Buffer, length: number) => void;

const CLIENT_BUFFER = 64 * 1024;
const UPSTREAM_BUFFER = 256 * 1024;

let clientBuffer: Buffer | null = null;
let upstreamBuffer: Buffer | null = null;

function sharedClientBuffer(): Buffer {
  return (clientBuffer ??= Buffer.allocUnsafeSlow(CLIENT_BUFFER));
}

function sharedUpstreamBuffer(): Buffer {
  return (upstreamBuffer ??= Buffer.allocUnsafeSlow(UPSTREAM_BUFFER));
}

/** The upstream buffer is still read by the kernel (a slow client's write): the next read takes another. */
export function retireUpstreamBuffer(): void {
  upstreamBuffer = null;
}

interface Handled {
  _handle?: { readStart?: unknown; reading?: boolean } | null;
}

/**
 * Makes an accepted, paused socket read into the shared buffer. The socket answered is the one to use from here on.
 * Call `resume()` on it when ready.
 */
export function adoptAccepted(accepted: Socket, sink: Sink): Socket {
  const handle = (accepted as unknown as Handled)._handle;
  if (handle === null || handle === undefined || typeof handle.readStart !== 'function' || 'encrypted' in accepted) {
    return readData(accepted, sink);
  }
  const buffer = sharedClientBuffer();
  // `handle` and `onread` are accepted by the constructor, though only net.connect documents the second.
  const options = {
    handle,
    allowHalfOpen: true,
    onread: { buffer, callback: (length: number) => { sink(buffer, length); return true; } },
  };
  (accepted as unknown as Handled)._handle = null;
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}

/** The fallback: `data` events. */
export function readData(socket: Socket, sink: Sink): Socket {
  socket.on('data', (chunk: Buffer) => sink(chunk, chunk.length));
  return socket;
}

/** Options for `net.connect`: read into the shared upstream buffer. */
export function upstreamReads(sink: Sink): { buffer: () => Uint8Array; callback: (length: number, bytes: Uint8Array) => boolean } {
  return {
    buffer: sharedUpstreamBuffer,
    callback: (length, bytes) => { sink(bytes as Buffer, length); return true; },
  };
}
