// A Dubbo-like protocol: binary frames with ids, replies in any order, one-way calls, heartbeats. It shows that the
// framework is general; it is no part of the product.
import {
  defineProtocol, linkOptions, Message, MessageLink, MessageRequest, MessageSession, ProxyError,
  type Backend, type BackendOptions, type Engine, type Node, type Plan, type Request, type Upstream,
} from '../../../core/protocol-api.ts';
import { EVENT, frameEnd, REQUEST, tagOf, TWO_WAY } from './frame.ts';

class DubboRequest extends MessageRequest {
  declare readonly session: DubboSession;
  readonly flags = this.bytes[2]!;
  readonly tag = tagOf(this.bytes, 0);
  readonly name = (this.flags & EVENT) !== 0 ? 'heartbeat' : (this.flags & TWO_WAY) !== 0 ? 'call' : 'one-way';
  readonly keyCount = 0;
  key(): Buffer { return Buffer.alloc(0); }

  override variable(name: string): string | undefined {
    return name === 'dubbo_serialization_id' ? String(this.flags & 0x1f) : undefined;
  }
}

class DubboSession extends MessageSession {
  provider: DubboLink | null = null;

  protected override get ordered(): boolean { return false; }

  protected frame(bytes: Buffer, start: number, end: number): number {
    try {
      return frameEnd(bytes, start, end);
    } catch (cause) {
      throw new ProxyError('PROTOCOL_ERROR', (cause as Error).message);
    }
  }

  protected request(plan: Plan, frame: Buffer): Request {
    if ((frame[2]! & REQUEST) === 0) throw new ProxyError('PROTOCOL_ERROR', 'flags: expected a request, got a response');
    return new DubboRequest(this, plan, frame);
  }

  /** The proxy does not know what the client's serialization makes of an error. */
  protected error(): null { return null; }

  protected override dispose(): void {
    super.dispose();
    this.provider?.fail('DRAINED');
  }
}

class DubboLink extends MessageLink {
  override readonly own = true;

  protected message(bytes: Buffer, start: number, end: number): number { return frameEnd(bytes, start, end); }
  protected override tagOf(bytes: Buffer, start: number): number { return tagOf(bytes, start); }
}

class DubboBackend implements Backend {
  readonly #engine: Engine;
  readonly #upstream: Upstream | null;

  constructor({ engine, upstream }: BackendOptions<object>) {
    this.#engine = engine;
    this.#upstream = upstream;
  }

  send(request: Request): void {
    const { session, tag, flags, bytes } = request as DubboRequest;
    if (this.#upstream === null) return request.settle(new ProxyError('NO_UPSTREAM'));
    session.provider = session.provider !== null && session.provider.state !== 'closed' ? session.provider : this.#open(session, this.#upstream, []);
    if (session.provider === null) return request.settle(new ProxyError('NO_NODE'));
    if ((flags & TWO_WAY) !== 0) return session.send(session.provider, request as DubboRequest, tag);
    session.provider.send(session, bytes, 0, bytes.length, 0, 0);
    return request.settle(new Message(Buffer.alloc(0)));
  }

  #open(session: DubboSession, upstream: Upstream, tried: readonly Node[]): DubboLink | null {
    const node = tried.length > upstream.retries ? null : upstream.balancer.pick(null, tried.length, tried);
    if (node === null) return null;
    return new DubboLink({
      ...linkOptions(node, this.#engine, upstream),
      substitute: () => (session.provider = this.#open(session, upstream, [...tried, node])),
    });
  }

  close(): void {}
}

export default defineProtocol<object>({
  name: 'dubbo',
  schema: { type: 'object' },
  door: { open: (connection, route, engine) => new DubboSession(connection, route, engine) },
  backend: (options) => new DubboBackend(options),
});
