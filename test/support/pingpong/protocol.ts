// A protocol that has what Redis has not: replies in any order, matched by stream id; heartbeats in both
// directions;
// frames of the node's own; one upstream connection per client and upstream; services behind subordinate
// routes.
import {
  defineProtocol, linkOptions, Message, MessageLink, MessageRequest, MessageSession, ProxyError,
  type Backend, type BackendOptions, type Engine, type LinkOptions, type Node, type Plan, type Request, type Upstream,
} from '../../../core/protocol-api.ts';
import { bodyLength, frameEnd, HEARTBEAT, serviceOf, STREAM, streamOf, typeOf } from './frame.ts';

interface Conf {
  readonly service?: string;
  readonly faults?: readonly { readonly header_type: string; readonly delay?: number }[];
}

const names = ['', 'heartbeat', 'unary', 'stream', 'service'];

class PingPongRequest extends MessageRequest {
  declare readonly session: PingPongSession;
  /** Bytes of the body. */
  readonly length = bodyLength(this.bytes, 0);
  readonly stream = streamOf(this.bytes, 0);
  readonly service = serviceOf(this.bytes, 0);
  readonly type = typeOf(this.bytes, 0);
  readonly name = names[this.type]!;
  readonly keyCount = this.service === '' ? 0 : 1;

  key(): Buffer { return Buffer.from(this.service); }

  override variable(name: string): string | undefined {
    return name === 'rpc_len' ? String(this.bytesIn) : undefined;
  }

  override receive(bytes: Buffer, start: number, end: number, complete: number): void {
    const got = bodyLength(bytes, start);
    if (got === this.length) super.receive(bytes, start, end, complete);
    else this.settle(new ProxyError('UPSTREAM_PROTOCOL', `body: expected ${this.length} bytes as in the request, got ${got}`));
  }
}

class PingPongSession extends MessageSession {
  #unary: PingPongRequest | null = null;
  readonly #links = new Map<string, PingPongLink>();

  protected override get ordered(): boolean { return false; }
  protected override mayStart(): boolean { return this.#unary === null || this.#unary.settled; }

  protected frame(bytes: Buffer, start: number, end: number): number {
    const next = frameEnd(bytes, start, end);
    if (next < 0) throw new ProxyError('PROTOCOL_ERROR', 'expected a pingpong frame');
    return next;
  }

  protected request(plan: Plan, frame: Buffer): Request | null {
    if (typeOf(frame, 0) === HEARTBEAT) {
      this.connection.outbox.append(Buffer.from(frame), 0, frame.length);
      return null;
    }
    const request = new PingPongRequest(this, plan, frame);
    if (request.type !== STREAM) this.#unary = request;
    return request;
  }

  /** There is no frame that says what went wrong. */
  protected error(): null { return null; }

  /** The client's own connection to an upstream. */
  linkTo(upstream: Upstream, open: () => PingPongLink | null): PingPongLink | null {
    const key = JSON.stringify([upstream.id, upstream.conf]);
    const known = this.#links.get(key);
    if (known !== undefined && known.state !== 'closed') return known;
    const link = open();
    if (link !== null) this.#links.set(key, link);
    return link;
  }

  /** A frame that the node sent by itself. */
  pushed(frame: Buffer): void {
    const plan = this.closed ? null : this.plan();
    if (plan !== null) this.announce(new PingPongRequest(this, plan, frame), new Message(frame));
  }

  protected override dispose(): void {
    super.dispose();
    for (const link of this.#links.values()) link.fail('DRAINED');
  }
}

class PingPongLink extends MessageLink {
  override readonly own = true;
  readonly #session: PingPongSession;

  constructor(options: LinkOptions, session: PingPongSession) {
    super(options);
    this.#session = session;
  }

  protected message(bytes: Buffer, start: number, end: number): number { return frameEnd(bytes, start, end); }
  protected override tagOf(bytes: Buffer, start: number): number {
    return tag(streamOf(bytes, start), typeOf(bytes, start));
  }

  protected override aside(bytes: Buffer, start: number, end: number): void {
    if (typeOf(bytes, start) === HEARTBEAT) this.send(this.#session, bytes, start, end, 0, 0);
    else if (typeOf(bytes, start) !== STREAM) this.fail('UPSTREAM_PROTOCOL', 'only streams may send what nobody asked for');
    else this.#session.pushed(Buffer.from(bytes.subarray(start, end)));
  }
}

/** A reply has the stream and the type of its request. */
function tag(stream: number, type: number): number {
  return type * 65_536 + stream;
}

class PingPongBackend implements Backend {
  readonly #engine: Engine;
  readonly #upstream: Upstream | null;
  readonly #services: ReadonlyMap<string, Upstream>;

  constructor({ engine, upstream, subordinates }: BackendOptions<Conf>) {
    this.#engine = engine;
    this.#upstream = upstream;
    this.#services = new Map(subordinates.map((each) => [each.conf.service ?? '', each.upstream]));
  }

  send(request: Request): void {
    const { session, service, stream, type } = request as PingPongRequest;
    const upstream = (service === '' ? undefined : this.#services.get(service)) ?? this.#upstream;
    if (upstream === null) return request.settle(new ProxyError('NO_UPSTREAM'));
    const link = session.linkTo(upstream, () => this.#open(session, upstream, []));
    if (link === null) request.settle(new ProxyError('NO_NODE'));
    else session.send(link, request as PingPongRequest, tag(stream, type));
  }

  #open(session: PingPongSession, upstream: Upstream, tried: readonly Node[]): PingPongLink | null {
    const node = tried.length > upstream.retries ? null : upstream.balancer.pick(null, tried.length, tried);
    if (node === null) return null;
    return new PingPongLink({
      ...linkOptions(node, this.#engine, upstream),
      substitute: () => session.linkTo(upstream, () => this.#open(session, upstream, [...tried, node])),
    }, session);
  }

  close(): void {}
}

export default defineProtocol<Conf>({
  name: 'pingpong',
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      service: { type: 'string', minLength: 1, maxLength: 4 },
      faults: {
        type: 'array', minItems: 1,
        items: {
          type: 'object', required: ['header_type'], additionalProperties: false,
          properties: { header_type: { type: 'string' }, delay: { type: 'number', minimum: 0, maximum: 3600 } },
        },
      },
    },
  },
  door: { open: (connection, route, engine) => new PingPongSession(connection, route, engine) },
  backend: (options) => new PingPongBackend(options),
  places: (conf) => (conf.faults ?? []).map(({ header_type: type, delay = 0 }) => ({
    name: 'faults', priority: 0,
    hooks: {
      request: (request) => (request.name === type
        ? new Promise<void>((resolve) => { setTimeout(resolve, delay * 1000); }) : undefined),
    },
  })),
});
