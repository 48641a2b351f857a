// One line in, one line out: `get a` is answered with whatever line the node sends. A line that begins with `-` is
// an error.
import {
  defineProtocol, Message, MessageLink, MessageRequest, MessageSession, ProxyError, SharedBackend, type Plan,
} from '../../core/protocol-api.ts';

const longest = 64 * 1024;

/** Where the line ends that begins at `start`; 0: it has not come yet. */
function lineEnd(bytes: Buffer, start: number, end: number): number {
  const at = bytes.indexOf('\n', start);
  return at < 0 || at >= end ? 0 : at + 1;
}

class LineRequest extends MessageRequest {
  get words(): string[] { return this.bytes.toString('utf8').trim().split(/ +/); }
  get name(): string { return this.words[0]!.toLowerCase(); }
  get keyCount(): number { return this.words.length - 1; }
  key(index: number): Buffer { return Buffer.from(this.words[index + 1]!); }
  protected override isError(reply: Buffer, start: number): boolean { return reply[start] === 0x2d; }
}

class LineSession extends MessageSession {
  protected frame(bytes: Buffer, start: number, end: number): number {
    const next = lineEnd(bytes, start, end);
    if ((next || end) - start <= longest) return next;
    throw new ProxyError('PROTOCOL_ERROR', `line: expected at most ${longest} bytes`);
  }

  protected request(plan: Plan, line: Buffer): LineRequest {
    const request = new LineRequest(this, plan, line);
    if (request.name === 'ping') request.settle(new Message(Buffer.from('pong\n')));
    return request;
  }

  protected error(error: ProxyError): Buffer {
    // A text with a line end in it would be read as two replies.
    return Buffer.from(`-${error.code} ${error.message.replaceAll(/[\r\n]/g, ' ')}\n`);
  }
}

class LineLink extends MessageLink {
  protected message(bytes: Buffer, start: number, end: number): number { return lineEnd(bytes, start, end); }
}

export default defineProtocol<Record<string, never>>({
  name: 'line',
  schema: { type: 'object', additionalProperties: false, properties: {} },
  door: {
    open: (connection, route, engine) => new LineSession(connection, route, engine),
    refuse: (text) => Buffer.from(`-${text}\n`),
  },
  backend: (options) => new SharedBackend(options, LineLink),
});
