// One record a line over one connection that is kept open, plain or TLS.
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Targets } from '../../../core/plugin.ts';
import type { Sink } from '../sink.ts';

export interface TcpOptions {
  readonly targets: Targets;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly verify: boolean;
  readonly serverName?: string;
  /** Milliseconds for connecting, and for handing a group to the kernel. */
  readonly timeout: number;
}

export class TcpSink implements Sink {
  readonly #options: TcpOptions;
  #socket: Socket | null = null;

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  async send(records: readonly string[]): Promise<number> {
    const socket = this.#socket ?? await this.#connect();
    let closed = (): void => {};
    try {
      await settles(this.#options.timeout, 'writing', (done, fail) => {
        closed = () => fail(new Error('the sink closed the connection'));
        socket.once('close', closed);
        socket.write(`${records.join('\n')}\n`, (cause) => {
          if (cause == null) done();
          else fail(cause);
        });
      });
    } catch (cause) {
      this.#drop(socket);
      throw cause;
    } finally {
      socket.off('close', closed);
    }
    return 0;
  }

  async #connect(): Promise<Socket> {
    const { host, tls, verify, serverName, timeout } = this.#options;
    const target = this.#options.targets.dial(host, this.#options.port);
    // A name of the certificate can only be asked for when it is a name.
    const servername = isIP(serverName ?? host) === 0 ? { servername: serverName ?? host } : {};
    const socket = tls
      ? connectTls({ ...target, rejectUnauthorized: verify, ...servername })
      : connect(target);
    // A sink has nothing to say, but what it says must not fill memory; its end is noticed before a write.
    socket.on('error', () => {});
    socket.on('end', () => this.#drop(socket)).on('close', () => this.#drop(socket));
    socket.resume();
    try {
      await settles(timeout, 'connecting', (done, fail) => {
        socket.once(tls ? 'secureConnect' : 'connect', done).once('error', fail);
      });
    } catch (cause) {
      socket.destroy();
      throw cause;
    }
    socket.unref();
    this.#socket = socket;
    return socket;
  }

  #drop(socket: Socket): void {
    socket.destroy();
    if (this.#socket === socket) this.#socket = null;
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null || socket.destroyed) return;
    socket.ref();
    await settles(this.#options.timeout, 'closing', (done) => { socket.end(done); }).catch(() => {});
    socket.destroy();
  }
}

type Settle = (done: () => void, fail: (cause: Error) => void) => void;

function settles(milliseconds: number, what: string, act: Settle): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Error(`${what} took more than ${milliseconds} ms`));
    const timer = setTimeout(late, milliseconds);
    act(() => { clearTimeout(timer); resolve(); }, (cause) => { clearTimeout(timer); reject(cause); });
  });
}
