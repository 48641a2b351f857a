// Replies cut out of bytes, and reordered where the order is by nature different.

const SCALARS = '+-:,_#(';
const BULKS = '$=!';
const AGGREGATES = '*~>%';

/** Where the frame that starts at `start` ends; null when it is not complete. */
export function frameEnd(bytes: Buffer, start: number): number | null {
  const line = bytes.indexOf('\r\n', start);
  if (line < 0) return null;
  const type = String.fromCharCode(bytes[start] ?? 0);
  const length = Number(bytes.toString('latin1', start + 1, line));
  if (SCALARS.includes(type)) return line + 2;
  if (BULKS.includes(type)) {
    const end = length < 0 ? line + 2 : line + 2 + length + 2;
    return end > bytes.length ? null : end;
  }
  if (!AGGREGATES.includes(type)) throw new Error(`no reply type: ${JSON.stringify(type)}`);
  let end: number | null = line + 2;
  const items = type === '%' ? length * 2 : length;
  for (let item = 0; item < items && end !== null; item++) end = frameEnd(bytes, end);
  return end;
}

/** The header and the items of an aggregate. */
export function itemsOf(reply: string): { readonly head: string; readonly items: string[] } {
  const bytes = Buffer.from(reply, 'latin1');
  let at = bytes.indexOf('\r\n') + 2;
  const head = reply.slice(0, at);
  const items: string[] = [];
  while (at < bytes.length) {
    const end = frameEnd(bytes, at);
    if (end === null) throw new Error(`incomplete reply: ${JSON.stringify(reply)}`);
    items.push(reply.slice(at, end));
    at = end;
  }
  return { head, items };
}

/** Ways to make replies comparable that differ by nature; each is the reason why. */
export const normalisations = {
  /** Order of a set or of the keyspace is that of a hash table. */
  unordered: (reply: string): string => {
    if (!AGGREGATES.includes(reply[0] ?? '')) return reply;
    const { head, items } = itemsOf(reply);
    return head + items.sort().join('');
  },
  /** Same, with pairs that stay together: a hash. */
  unorderedPairs: (reply: string): string => {
    if (!AGGREGATES.includes(reply[0] ?? '')) return reply;
    const { head, items } = itemsOf(reply);
    const pairs = items.flatMap((item, at) => (at % 2 === 0 ? [item + (items[at + 1] ?? '')] : []));
    return head + pairs.sort().join('');
  },
  /** A page of SCAN: the cursor's value is the server's own, only whether it is the last page counts. */
  scanPage: (reply: string): string => {
    if (reply[0] !== '*') return reply;
    const { head, items: [cursor = '', page = ''] } = itemsOf(reply);
    return head + (cursor === '$1\r\n0\r\n' ? 'last' : 'more') + normalisations.unordered(page);
  },
  /** Which member comes is random; how many and of which type is not. */
  random: (reply: string): string => {
    if (!AGGREGATES.includes(reply[0] ?? '')) return reply.startsWith('$-') ? reply : reply[0] ?? '';
    const { head, items } = itemsOf(reply);
    return head + items.map((item) => normalisations.random(item)).join('');
  },
  /** Time goes on between the two servers' answers. */
  elapsing: (reply: string): string => reply.replaceAll(/[0-9]{2,}/g, 'N'),
  /** Ids, ports, sizes, times: only the fields' names and their order count. */
  fieldNames: (reply: string): string => reply.replace(/^.*?\r\n/, '').replaceAll(/=[^ \r\n]*/g, '='),
  /** HELLO tells the connection's id. */
  id: (reply: string): string => reply.replaceAll(/(id\r\n:)[0-9]+/g, '$1N').replace(/^:[0-9]+/, ':N'),
} satisfies Record<string, (reply: string) => string>;

export type Normalisation = keyof typeof normalisations;
