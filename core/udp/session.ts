// One client of a UDP listener: a socket of its own towards a node, until neither side says anything for a while.
import { createSocket, type Socket as DatagramSocket, type SocketOptions } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { ProxyError } from '../errors.ts';
import { Session } from '../session.ts';
import type { TcpBackend } from '../tcp.ts';
import { hashKey } from '../upstream/hash-key.ts';
import type { Node } from '../upstream/node.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { answeredDatagram, refusedDatagram, takesDatagrams } from './refusals.ts';

/** Milliseconds without a datagram, where `timeout.idle` says nothing. */
const usualIdle = 60_000;
/** Datagrams that wait until the node's address is known; what is beyond is lost, as on any full queue of UDP. */
const mostWaiting = 64;

export class UdpSession extends Session {
  /** Sends a datagram to the client. */
  reply: (bytes: Buffer) => void = () => undefined;
  #socket: DatagramSocket | null = null;
  #node: Node | null = null;
  #ready = false;
  #opened = false;
  #waiting: Buffer[] = [];
  #last = this.openedAt;
  #idleTimeout = usualIdle;
  /** Bytes of datagrams that were not passed on. */
  #lost = 0;

  override opened(): void {
    this.#opened = true;
    this.#connect();
  }

  read(bytes: Buffer, length: number): void {
    this.received += length;
    this.#last = this.engine.clock.now();
    if (this.#ready) this.#socket!.send(bytes.subarray(0, length));
    else if (this.#waiting.length < mostWaiting) this.#waiting.push(Buffer.from(bytes.subarray(0, length)));
    else this.#lost += length;
  }

  #connect(): void {
    const plan = this.plan();
    if (plan === null) return this.destroy('ROUTE_REMOVED');
    const { upstream } = plan.backendOf(this) as TcpBackend;
    if (upstream === null) return this.destroy('NO_UPSTREAM');
    const node = this.#choose(upstream);
    if (node === null) return this.destroy('NO_NODE');
    const { dial } = node;
    // A Unix socket takes no datagrams of the network.
    if (dial.host === undefined) return this.destroy('CONNECT_FAILED');
    this.#node = node;
    node.inflight++;
    if (upstream.timeouts.idle > 0) this.#idleTimeout = upstream.timeouts.idle;
    const { host, lookup } = dial;
    // The same function; its types say that datagrams never ask for several addresses.
    const resolve = lookup as SocketOptions['lookup'];
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', ...(resolve === undefined ? {} : { lookup: resolve }) });
    this.#socket = socket;
    socket.on('message', (bytes) => this.#answered(bytes));
    // ECONNREFUSED: nobody listens there. The next session asks another node.
    socket.on('error', (cause) => {
      refusedDatagram(node, cause, this.engine.log);
      this.destroy('CONNECT_FAILED');
    });
    socket.once('connect', () => {
      if (this.closed) return;
      this.#ready = true;
      for (const each of this.#waiting.splice(0)) socket.send(each);
    });
    socket.connect(node.port, host);
  }

  #choose({ balancer, conf }: Upstream): Node | null {
    const key = conf.type === 'chash' ? hashKey(conf, this) : null;
    const out: Node[] = [];
    for (;;) {
      const node = out.length === 0 ? balancer.pick(key, 0) : balancer.pick(key, out.length, out);
      if (node === null || takesDatagrams(node)) return node;
      out.push(node);
    }
  }

  #answered(bytes: Buffer): void {
    if (this.closed) return;
    this.#last = this.engine.clock.now();
    if (this.#node !== null) answeredDatagram(this.#node, this.engine.log);
    // Each datagram is one: they are not joined as writes to a stream are.
    this.connection.outbox.total += bytes.length;
    this.reply(bytes);
  }

  override sweep(now: number): void {
    super.sweep(now);
    if (!this.closed && now - this.#last > this.#idleTimeout) this.end('CLIENT_IDLE');
  }

  /** A conversation may go on at any time; one that was silent for a moment is let go when we stop. */
  override get idle(): boolean { return this.#opened && this.engine.clock.now() - this.#last > 1000; }
  override get lastOperation(): string { return ''; }
  override get node(): Node | null { return this.#node; }
  protected override get fromNode(): number { return this.connection.outbox.total; }
  protected override get toNode(): number { return this.#ready ? this.received - this.#lost : 0; }
  protected override next(): null { return null; }
  protected override write(): void {}
  protected override writeError(_error: ProxyError, _count: number): void {}
  protected override dispose(): void {
    if (this.#node !== null) this.#node.inflight--;
    this.#node = null;
    this.#socket?.close();
    this.#socket = null;
    this.#ready = false;
    this.#waiting = [];
  }
}
