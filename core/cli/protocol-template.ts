// What `millrace new protocol` writes: requests and replies of one line each. `@NAME@` becomes the name.

export const protocolTemplate = `// One line asks, one line answers: \`get a\` -> \`1\`. Another protocol differs in where a message ends, what it
// asks for, and what an error looks like. Plugins, limits, metrics, upstreams and reloads work from the start.
import {
  defineProtocol, MessageLink, MessageRequest, MessageSession, ProxyError, SharedBackend, type Plan,
} from 'millrace/protocol';

const longestLine = 64 * 1024;

/** Where the line ends that begins at \`start\`; 0: more bytes are needed. */
function endOfLine(bytes: Buffer, start: number, end: number): number {
  const newline = bytes.subarray(start, end).indexOf(10);
  return newline === -1 ? 0 : start + newline + 1;
}

/** What plugins see: the operation, and the keys that it is about. */
class LineRequest extends MessageRequest {
  get #words(): string[] { return this.bytes.toString('utf8').trim().split(/ +/); }
  get name(): string { return this.#words[0]!.toLowerCase(); }
  get keyCount(): number { return this.#words.length - 1; }
  key(index: number): Buffer { return Buffer.from(this.#words[index + 1]!); }
  protected override isError(reply: Buffer, start: number): boolean { return reply[start] === 45; } // "-"
}

/** The clients' side. */
class LineSession extends MessageSession {
  protected frame(bytes: Buffer, start: number, end: number): number {
    const next = endOfLine(bytes, start, end);
    if (next === 0 && end - start > longestLine) {
      throw new ProxyError('PROTOCOL_ERROR', \`line: expected at most \${longestLine} bytes\`);
    }
    return next;
  }

  protected request(plan: Plan, line: Buffer): LineRequest {
    return new LineRequest(this, plan, line);
  }

  protected error(error: ProxyError): Buffer {
    // A text with a line end in it would be read as two replies.
    return Buffer.from(\`-\${error.message.replaceAll(/[\\r\\n]/g, ' ')}\\n\`);
  }
}

/** The nodes' side. */
class LineLink extends MessageLink {
  protected message(bytes: Buffer, start: number, end: number): number { return endOfLine(bytes, start, end); }
}

export default defineProtocol({
  name: '@NAME@',
  schema: { type: 'object', additionalProperties: false, properties: {} },
  door: {
    open: (connection, route, engine) => new LineSession(connection, route, engine),
    refuse: (text) => Buffer.from(\`-\${text}\\n\`),
  },
  backend: (options) => new SharedBackend(options, LineLink),
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
