/**
 * The value of one complete RESP2 reply: strings as text, integers, arrays, null, and an Error for an error reply.
 * For replies to commands of our own; what clients get is never decoded.
 */
export function decode(reply: Buffer): unknown {
  const [value] = decodeAt(reply, 0);
  return value;
}

function decodeAt(reply: Buffer, at: number): [value: unknown, next: number] {
  const lineEnd = reply.indexOf(13, at);
  const line = reply.toString('utf8', at + 1, lineEnd);
  const next = lineEnd + 2;
  const type: number = reply[at]!;
  switch (type) {
    case 0x2b: return [line, next];
    case 0x2d: return [new Error(line), next];
    case 0x3a: return [Number(line), next];
    case 0x24: {
      const length = Number(line);
      return length < 0 ? [null, next] : [reply.toString('utf8', next, next + length), next + length + 2];
    }
    case 0x2a: {
      const count = Number(line);
      if (count < 0) return [null, next];
      const items: unknown[] = [];
      let p = next;
      for (let i = 0; i < count; i++) {
        const [item, after] = decodeAt(reply, p);
        items.push(item);
        p = after;
      }
      return [items, p];
    }
    default: return [new Error(`unexpected reply ${reply.toString('latin1', at, at + 16)}`), reply.length];
  }
}
