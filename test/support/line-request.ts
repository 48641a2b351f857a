// A request of a tiny line protocol, as plugins see one, for tests of hooks without a proxy around them.
import { ProxyError } from '../../core/errors.ts';
import type { Plan } from '../../core/plan.ts';
import { Request, type Reply } from '../../core/request.ts';
import type { Session } from '../../core/session.ts';

type Texts = Readonly<Record<string, string>>;

export class LineReply implements Reply {
  readonly text: string;
  constructor(text: string) { this.text = text; }
  get bytes(): number { return this.text.length + 1; }
  get isError(): boolean { return this.text.startsWith('-'); }
}

export interface LineSession {
  readonly id?: number;
  readonly remoteAddress?: string;
  readonly routeId?: string;
  readonly user?: string | null;
  readonly variables?: Texts;
  readonly openedAt?: number;
  /** Bytes written to the client. */
  readonly written?: number;
}

/** What hooks read of a session. */
export function lineSession(facts: LineSession = {}): Session {
  const closers: (() => void)[] = [];
  const session = {
    id: facts.id ?? 7, remoteAddress: facts.remoteAddress ?? '127.0.0.1', remotePort: 40001,
    localAddress: '127.0.0.1', localPort: 9100, user: facts.user ?? null,
    route: { id: facts.routeId ?? '1', protocol: 'line', conf: {}, plan: null },
    closed: false, openedAt: facts.openedAt ?? 0, connection: { outbox: { total: facts.written ?? 0 } },
    variable: (name: string) => known(facts.variables, name),
    onClose: (then: () => void) => { closers.push(then); },
    /** Of the test: the client goes. */
    leave: () => { for (const then of closers.splice(0)) then(); },
    deliver: () => {}, accepts: () => false, relay: () => {},
  };
  return session as unknown as Session;
}

/** `get a b` → name and keys. */
export class LineRequest extends Request<LineReply> {
  readonly words: readonly string[];
  readonly keyBytes: readonly Buffer[];
  readonly variables: Texts;

  constructor(line: string, session = lineSession(), variables: Texts = {}, keys?: readonly Buffer[]) {
    super(session, null as unknown as Plan, 1000);
    this.words = line.split(' ');
    this.keyBytes = keys ?? this.words.slice(1).map((word) => Buffer.from(word));
    this.variables = variables;
    this.bytesIn = line.length + 1;
  }

  get name(): string { return this.words[0]!.toLowerCase(); }
  get keyCount(): number { return this.keyBytes.length; }
  key(index: number): Buffer { return this.keyBytes[index]!; }
  override variable(name: string): string | undefined { return known(this.variables, name); }
  keep(): void {}
  protected hold(): void {}
  protected reply(): LineReply { return new LineReply('+ok'); }
  protected peek(): void {}

  /** As if the answer had come and left. */
  finish(text: string, milliseconds = 5): this {
    if (this.outcome === null) this.settle(new LineReply(text));
    this.endedAt = this.startedAt + milliseconds;
    this.bytesOut = text.length + 1;
    return this;
  }

  /** The failure it was settled with. */
  get refusal(): ProxyError | null {
    return this.outcome instanceof ProxyError ? this.outcome : null;
  }
}

function known(texts: Texts | undefined, name: string): string | undefined {
  return texts !== undefined && Object.hasOwn(texts, name) ? texts[name] : undefined;
}
