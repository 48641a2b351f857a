import { expect, test } from 'vitest';
import {
  defineProtocol, Link, linkOptions, MessageRequest, MessageSession, MORE, REPLY,
  type Backend, type LinkOptions, type Plan, type Request, type Upstream,
} from '../../core/protocol-api.ts';
import { startLineUpstream } from '../support/line-upstream.ts';
import { freePort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { sleep } from '../support/sleep.ts';
import { TextClient } from '../support/text-client.ts';

class Word extends MessageRequest {
  get name(): string { return this.bytes.toString().trim(); }
  readonly keyCount = 0;
  key(): Buffer { return this.bytes; }
}

/** One link per word and client; answers leave as they come. */
class Words extends MessageSession {
  readonly links = new Map<string, Link>();
  protected override get ordered(): boolean { return false; }
  protected override mayStart(): boolean { return true; }
  protected frame(bytes: Buffer, start: number, end: number): number {
    const at = bytes.subarray(start, end).indexOf('\n');
    return at < 0 ? 0 : start + at + 1;
  }
  protected request(plan: Plan, word: Buffer): Request { return new Word(this, plan, word); }
  protected error(): Buffer { return Buffer.from('-\n'); }
  protected override dispose(): void {
    super.dispose();
    for (const link of this.links.values()) link.fail('DRAINED');
  }
}

/** Passes lines on in pieces. */
class PieceLink extends Link {
  override readonly own = true;
  #mid = false;
  protected override get midMessage(): boolean { return this.#mid; }
  protected override resetFrame(): void {}
  protected override frame(bytes: Buffer, at: number, end: number): number {
    const found = bytes.subarray(at, end).indexOf('\n');
    this.#mid = found < 0;
    this.framed = found < 0 ? MORE : REPLY;
    return found < 0 ? end : at + found + 1;
  }
}

const pieces = defineProtocol({
  name: 'pieces',
  schema: { type: 'object' },
  door: { open: (connection, route, engine) => new Words(connection, route, engine) },
  backend: ({ upstream, engine }): Backend => ({
    send(request) {
      const session = request.session as Words;
      const node = (upstream as Upstream).nodes[0]!;
      const options: LinkOptions = linkOptions(node, engine, upstream as Upstream);
      const link = session.links.get(request.name) ?? new PieceLink(options);
      session.links.set(request.name, link);
      session.send(link, request as Word);
    },
    close() {},
  }),
});

test('half an answer is followed by its other half, also where answers leave in any order', async () => {
  const write: Record<string, (text: string) => void> = {};
  await using upstream = await startLineUpstream((line, socket) => { write[line] = (text) => { socket.write(text); }; });
  const port = await freePort();
  await using proxy = await startProxy({
    protocols: [pieces], settings: { listeners: [{ port }] },
    route: { upstream: { nodes: { [`127.0.0.1:${upstream.port}`]: 1 } }, protocol: { name: 'pieces' } },
  });
  await using client = await TextClient.connect(port);
  client.send('a\nb\nc\n');
  await upstream.wait(3);
  write['b']!('b1');
  await sleep(20);
  write['a']!('a1');
  write['c']!('c1 c2\n');
  await sleep(20);
  expect(client.lines).toEqual([]);
  write['b']!(' b2\n');
  await sleep(20);
  write['a']!(' a2\n');
  expect(await client.read(3)).toEqual(['b1 b2', 'c1 c2', 'a1 a2']);
  expect(proxy.records.filter(({ code }) => code === 'INTERNAL')).toEqual([]);
});
