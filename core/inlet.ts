// The one place that touches a socket's handle. All sockets of a worker read into the same static buffer, which is
// safe because the callback is synchronous and whoever keeps bytes copies them. Worth 11–15 % CPU; where Node's
// handle is not as expected (TLS, a future version), the `data` event does the same, a little dearer.
import { Socket } from 'node:net';

/** Takes `length` bytes from the start of `bytes`; they are overwritten by the next read. */
export type Sink = (bytes: Buffer, length: number) => void;

const CLIENT_BUFFER = 128 * 1024;
/** Buffer of one link: begins small, because most links carry little, and doubles while reads fill it. */
const SMALLEST_UPSTREAM = 16 * 1024;
const LARGEST_UPSTREAM = 256 * 1024;

/**
 * For tests: bytes that must not be seen any more are overwritten, and fresh memory is not zero by chance. A view that
 * is kept too long, or memory that is sent before it was filled, shows as runs of these bytes.
 */
export const poison: boolean = process.env['MILLRACE_POISON'] === '1';
const READ = 0xdb;
const FRESH = 0xdd;

/** Memory for bytes on their way, with anything in it. */
export function fresh(size: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  return poison ? bytes.fill(FRESH) : bytes;
}

/** Memory that will be used again: what was in it is nobody's any more. */
export function used(bytes: Buffer): Buffer {
  return poison ? bytes.fill(FRESH) : bytes;
}

let clientBuffer: Buffer | null = null;

function sharedClientBuffer(): Buffer {
  return (clientBuffer ??= fresh(CLIENT_BUFFER));
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
    // Else it reads at once: connect hooks would be late for bytes that are there already.
    pauseOnCreate: true,
    onread: {
      buffer,
      callback: (length: number) => {
        sink(buffer, length);
        if (poison) buffer.fill(READ);
        return true;
      },
    },
  };
  (accepted as unknown as Handled)._handle = null;
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}

/** The fallback: `data` events. */
export function readData(socket: Socket, sink: Sink): Socket {
  socket.on('data', (chunk: Buffer) => {
    sink(chunk, chunk.length);
    if (poison) chunk.fill(READ);
  });
  return socket;
}

/**
 * Where one link reads into, for the `onread` option of `net.connect`. Not shared among links: views of what was read
 * are written to clients, a slow one keeps the kernel reading from them, and Node asks for another buffer only after
 * a read of the same socket.
 */
export class UpstreamReads {
  readonly #sink: Sink;
  #bytes: Buffer | null = null;
  #size = SMALLEST_UPSTREAM;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  readonly buffer = (): Uint8Array => (this.#bytes ??= fresh(this.#size));

  readonly callback = (length: number, bytes: Uint8Array): boolean => {
    this.#sink(bytes as Buffer, length);
    if (poison && this.#bytes !== null) bytes.fill(READ);
    if (length === this.#size && length < LARGEST_UPSTREAM) {
      this.#size *= 2;
      this.#bytes = null;
    }
    return true;
  };

  /** The kernel still reads from the buffer (a slow client's write): the next read takes another. */
  retire(): void {
    this.#bytes = null;
  }
}
