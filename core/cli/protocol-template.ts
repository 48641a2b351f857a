// What `millrace new protocol` writes: requests and replies of one line each. `@NAME@` becomes the name.

export const protocolTemplate = `// One line asks, one line answers: \`get a\` -> \`1\`. Change the framing in three
// places (next, frame, write) and it is another protocol; plugins, limits, metrics, upstreams and reloads work
// from the start.
import {
  defineProtocol, Link, MORE, ProxyError, REPLY, Request, Session,
  type Backend, type BackendOptions, type Engine, type Node, type Plan, type Reply, type Upstream,
} from 'millrace/protocol';

const newline = 10;
const longestLine = 64 * 1024;

class LineReply implements Reply {
  readonly line: Buffer;
  constructor(line: Buffer) { this.line = line; }
  get bytes(): number { return this.line.length; }
  get isError(): boolean { return this.line[0] === 45; } // "-"
}

class LineRequest extends Request<LineReply> {
  readonly line: Buffer;
  readonly #words: readonly string[];
  #held: Buffer = Buffer.alloc(0);

  constructor(session: Session, plan: Plan, startedAt: number, line: Buffer) {
    super(session, plan, startedAt);
    this.line = line;
    this.#words = line.toString('latin1').trim().split(' ');
    this.bytesIn = line.length;
  }

  // What plugins see: the operation, and the keys that it is about.
  get name(): string { return this.#words[0]!.toLowerCase(); }
  get keyCount(): number { return this.#words.length - 1; }
  key(index: number): Buffer { return Buffer.from(this.#words[index + 1]!, 'latin1'); }
  keep(): void {} // The line is a copy of its own.

  protected hold(bytes: Buffer, start: number, end: number): void {
    this.#held = Buffer.concat([this.#held, bytes.subarray(start, end)]);
  }
  protected reply(): LineReply { return new LineReply(this.#held); }
  protected peek(): void {}
}

class LineSession extends Session {
  #rest: Buffer = Buffer.alloc(0);

  read(bytes: Buffer, length: number): void {
    this.received += length;
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(0, length)]);
    this.pump();
  }

  // Frames one request out of what the client sent.
  protected next(): LineRequest | null {
    const end = this.#rest.indexOf(newline);
    if (end === -1) {
      if (this.#rest.length > longestLine) this.destroy('PROTOCOL_ERROR');
      return null;
    }
    const plan = this.plan();
    if (plan === null) {
      this.end('ROUTE_REMOVED');
      return null;
    }
    const line = this.#rest.subarray(0, end + 1);
    this.#rest = this.#rest.subarray(end + 1);
    return new LineRequest(this, plan, this.engine.clock.now(), line);
  }

  // Writes one answer: the server's, or ours.
  protected write(request: Request): void {
    const { outcome } = request;
    if (outcome instanceof ProxyError) this.writeError(outcome, 1);
    else if (!request.relayed && outcome instanceof LineReply) this.#append(outcome.line);
  }

  protected writeError(error: ProxyError, count: number): void {
    this.#append(Buffer.from(\`-\${error.message}\\n\`.repeat(count)));
  }

  #append(bytes: Buffer): void {
    this.outbox.append(bytes, 0, bytes.length);
  }

  protected dispose(): void { this.#rest = Buffer.alloc(0); }
  protected override get unread(): number { return this.#rest.length; }
}

class LineLink extends Link {
  // Finds the end of one reply.
  protected frame(bytes: Buffer, at: number, end: number): number {
    const found = bytes.subarray(at, end).indexOf(newline);
    this.framed = found === -1 ? MORE : REPLY;
    return found === -1 ? at : at + found + 1;
  }

  protected get midMessage(): boolean { return false; }
  protected resetFrame(): void {}
}

class LineBackend implements Backend {
  readonly #upstream: Upstream | null;
  readonly #engine: Engine;
  readonly #links = new Map<Node, LineLink>();

  constructor({ upstream, engine }: BackendOptions) {
    this.#upstream = upstream;
    this.#engine = engine;
  }

  send(request: Request): void {
    if (this.#upstream === null) return request.settle(new ProxyError('NO_UPSTREAM'));
    const node = this.#upstream.balancer.pick(null, 0);
    if (node === null) return request.settle(new ProxyError('NO_NODE'));
    const { line } = request as LineRequest;
    request.upstreamAddress = node.address;
    this.#link(node).send(request, line, 0, line.length, 1, 0);
  }

  /** One connection per node, shared by all clients. */
  #link(node: Node): LineLink {
    const open = this.#links.get(node);
    if (open !== undefined && !open.detached) return open;
    const { timeouts, tls } = this.#upstream!;
    const link = new LineLink({
      node, engine: this.#engine, connectTimeout: timeouts.connect, replyTimeout: timeouts.read,
      ...(tls === undefined ? {} : { tls }),
      onClosed: (closed) => { if (this.#links.get(node) === closed) this.#links.delete(node); },
    });
    this.#links.set(node, link);
    return link;
  }

  close(): void {
    for (const link of this.#links.values()) link.fail('DRAINED');
  }
}

export default defineProtocol({
  name: '@NAME@',
  schema: { type: 'object', additionalProperties: false, properties: {} },
  door: {
    open: (connection, route, engine) => new LineSession(connection, route, engine),
    refuse: (text) => Buffer.from(\`-\${text}\\n\`),
  },
  backend: (options) => new LineBackend(options),
});
`;

export const protocolTestTemplate = `// A server of this protocol, Millrace in front of it, and a client.
// \`millrace test\` says where Millrace is.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), '@NAME@-'));
let server: Server;
let proxy: ChildProcess;
let port = 0;

before(async () => {
  // Answers each line with itself in upper case.
  server = createServer((socket) => socket.on('error', () => {}).on('data', (bytes) => {
    socket.write(bytes.toString().toUpperCase());
  }));
  await listen(server);
  port = await freePort();
  const settings = {
    listeners: [{ port, protocol: '@NAME@' }], protocols: [dirname(fileURLToPath(import.meta.url))],
    admin: { port: await freePort() }, workers: 1,
  };
  writeFileSync(join(folder, 'millrace.json'), JSON.stringify(settings));
  const main = process.env['MILLRACE_MAIN'];
  assert.ok(main, 'run this by: millrace test');
  proxy = spawn(process.execPath, [main, 'start', '-c', join(folder, 'millrace.json')], {
    env: { ...process.env, MILLRACE_UPSTREAM: \`127.0.0.1:\${portOf(server)}\` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // It prints what listens where when it does.
  await Promise.race([once(proxy.stdout!, 'data'), once(proxy, 'exit')]);
});

after(async () => {
  if (proxy.exitCode === null) {
    proxy.kill();
    await once(proxy, 'exit');
  }
  server.close();
  rmSync(folder, { recursive: true });
});

test('requests pass in order, however their bytes are cut', async () => {
  assert.equal(await talk(['get a\\nge', 't b\\n', 'get c\\n'], 3), 'GET A\\nGET B\\nGET C\\n');
});

async function talk(pieces: readonly string[], lines: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  let answer = '';
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for await (const bytes of socket) {
    answer += String(bytes);
    if (answer.split('\\n').length > lines) break;
  }
  return answer;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await listen(probe);
  const found = portOf(probe);
  probe.close();
  await once(probe, 'close');
  return found;
}

async function listen(each: Server): Promise<void> {
  each.listen(0, '127.0.0.1');
  await once(each, 'listening');
}

function portOf(each: Server): number {
  return (each.address() as AddressInfo).port;
}
`;
