// A route without protocol: bytes pass as they are. The same connect-phase plugins, nodes, limits and metrics apply.
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Connection } from './connection.ts';
import type { Engine } from './engine.ts';
import { ProxyError } from './errors.ts';
import { flushOutboxes } from './outbox.ts';
import { defineProtocol, type Backend } from './protocol.ts';
import { writeProxyHeader } from './proxy-header.ts';
import type { Route } from './route.ts';
import { Session } from './session.ts';
import { hashKey } from './upstream/hash-key.ts';
import { nameOptionsFor } from './tls/node-name.ts';
import type { Node } from './upstream/node.ts';
import type { Upstream } from './upstream/upstream.ts';

export class TcpBackend implements Backend {
  readonly upstream: Upstream | null;
  constructor(upstream: Upstream | null) { this.upstream = upstream; }
  send(): void {}
  close(): void {}
}

class TcpSession extends Session {
  #upstream: Socket | null = null;
  #node: Node | null = null;
  readonly #tried: Node[] = [];
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #ended = false;
  #lastByte = this.openedAt;
  #idleTimeout = 0;
  /** Its node was reached: it keeps that connection. */
  #open = false;

  override opened(): void {
    this.#connect();
  }

  read(bytes: Buffer, length: number): void {
    this.received += length;
    this.#lastByte = this.engine.clock.now();
    const piece = Buffer.from(bytes.subarray(0, length));
    const upstream = this.#upstream;
    if (upstream === null || upstream.connecting) {
      this.#waiting.push(piece);
      this.#waitingBytes += length;
      if (this.#waitingBytes > this.engine.limits.unsentPause) this.connection.pause();
    } else if (!upstream.write(piece)) {
      this.connection.pause();
    }
  }

  override ended(): void {
    this.#ended = true;
    const upstream = this.#upstream;
    if (upstream !== null && !upstream.connecting) upstream.end();
  }

  override drained(): void {
    this.#upstream?.resume();
  }

  #connect(): void {
    const plan = this.plan();
    if (plan === null) return this.destroy('ROUTE_REMOVED');
    const { upstream } = plan.backendOf(this) as TcpBackend;
    if (upstream === null) return this.destroy('NO_UPSTREAM');
    const key = upstream.conf.type === 'chash' ? hashKey(upstream.conf, this) : null;
    const node = this.#tried.length === 0 ? upstream.balancer.pick(key, 0)
      : upstream.balancer.pick(key, this.#tried.length, this.#tried);
    if (node === null) return this.destroy('NO_NODE');
    this.#tried.push(node);
    this.#node = node;
    this.#idleTimeout = upstream.timeouts.idle;
    const { tls } = upstream;
    const target = { ...node.dial, noDelay: true, keepAlive: true, allowHalfOpen: true };
    const socket = tls === undefined ? connect(target) : connectTls({ ...target, ...nameOptionsFor(node, upstream, this.connection.origin.sni) });
    this.#upstream = socket;
    const began = this.engine.clock.now();
    const timer = setTimeout(() => socket.destroy(new ProxyError('CONNECT_TIMEOUT')), upstream.timeouts.connect);
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      this.#open = true;
      clearTimeout(timer);
      node.health.succeeded();
      node.inflight++;
      const now = this.engine.clock.now();
      node.latency?.observe(now - began, now);
      const version = upstream.conf.proxy_protocol;
      if (version !== undefined) socket.write(writeProxyHeader(version, this.connection.origin));
      this.#connected(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      this.#lastByte = this.engine.clock.now();
      this.connection.outbox.append(chunk, 0, chunk.length);
      flushOutboxes();
      if (this.connection.outbox.pending > this.engine.limits.unsentPause) socket.pause();
    });
    socket.on('drain', () => this.connection.resume());
    socket.on('end', () => this.end('UPSTREAM_ENDED'));
    let cause: unknown;
    socket.on('error', (error) => { cause = error; });
    socket.on('close', () => {
      clearTimeout(timer);
      if (this.#open) {
        node.inflight--;
        this.end('UPSTREAM_CLOSED');
        return;
      }
      if (this.closed) return;
      node.health.failed(cause);
      const { retry } = upstream.timeouts;
      const late = retry > 0 && this.engine.clock.now() - this.openedAt > retry;
      if (!late && this.#tried.length <= upstream.retries) this.#connect();
      else this.destroy('CONNECT_FAILED');
    });
  }

  #connected(socket: Socket): void {
    for (const piece of this.#waiting.splice(0)) socket.write(piece);
    this.#waitingBytes = 0;
    if (this.#ended) socket.end();
    this.connection.resume();
  }

  override sweep(now: number): void {
    super.sweep(now);
    if (this.#idleTimeout > 0 && now - this.#lastByte > this.#idleTimeout) this.end('CLIENT_IDLE');
  }

  override get node(): Node | null { return this.#node; }
  protected override get fromNode(): number { return this.#open ? this.#upstream!.bytesRead : 0; }
  protected override get toNode(): number { return this.#open ? this.#upstream!.bytesWritten : 0; }
  /** Nobody can tell whether more is to come: such connections go on until the deadline when we stop. */
  override get idle(): boolean { return false; }
  protected override get unread(): number { return this.#waitingBytes; }
  protected override next(): null { return null; }
  protected override write(): void {}
  protected override writeError(): void {}
  protected override dispose(): void {
    this.#upstream?.destroy();
    this.#waiting = [];
  }
}

export const tcp = defineProtocol<Record<string, never>>({
  name: 'tcp',
  variables: [],
  schema: { type: 'object', additionalProperties: false, properties: {} },
  door: { open: (connection: Connection, route: Route, engine: Engine) => new TcpSession(connection, route, engine) },
  backend: ({ upstream }) => new TcpBackend(upstream),
});
