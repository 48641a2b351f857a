// Asks a server one command over a connection of its own and parses the RESP2 reply.
import { once } from 'node:events';
import { connect } from 'node:net';

type Call = readonly (string | Buffer)[];
export type Resp = string | number | null | Error | Resp[];

/** The replies to several commands, in order; an error reply is an Error. */
export async function askAll(port: number, calls: readonly Call[]): Promise<Resp[]> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(Buffer.concat(calls.flatMap((call) => [
    Buffer.from(`*${call.length}\r\n`),
    ...call.map((word) => Buffer.concat([
      Buffer.from(`$${Buffer.byteLength(word)}\r\n`), Buffer.from(word), Buffer.from('\r\n'),
    ])),
  ])));
  let text = '';
  const replies: Resp[] = [];
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1');
    for (;;) {
      const reply = parse(text, 0);
      if (reply === null) break;
      replies.push(reply.value);
      text = text.slice(reply.end);
    }
    if (replies.length >= calls.length) break;
  }
  socket.destroy();
  return replies;
}

export async function ask(port: number, call: Call): Promise<Resp> {
  return (await askAll(port, [call]))[0] ?? null;
}

function parse(text: string, start: number): { value: Resp; end: number } | null {
  const eol = text.indexOf('\r\n', start);
  if (eol < 0) return null;
  const head = text.slice(start + 1, eol);
  let end = eol + 2;
  switch (text.charAt(start)) {
    case '+': return { value: head, end };
    case '-': return { value: new Error(head), end };
    case ':': return { value: Number(head), end };
    case '$':
      if (head === '-1') return { value: null, end };
      end += Number(head) + 2;
      return text.length < end ? null : { value: text.slice(eol + 2, end - 2), end };
    case '*': {
      const list: Resp[] = [];
      for (let i = 0; i < Number(head); i++) {
        const item = parse(text, end);
        if (item === null) return null;
        list.push(item.value);
        end = item.end;
      }
      return { value: list, end };
    }
    default: throw new Error(`unexpected reply: ${text.slice(start, eol)}`);
  }
}
