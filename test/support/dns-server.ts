// A name server of the test's own (UDP, 127.0.0.1): answers A, AAAA and SRV from a table that the test changes.
import { createSocket } from 'node:dgram';

export interface Records {
  readonly a?: readonly string[];
  readonly srv?: readonly { readonly host: string; readonly port: number; readonly weight?: number; readonly priority?: number }[];
  /** Eight groups of hex digits each. */
  readonly aaaa?: readonly string[];
  /** Seconds; default 60. */
  readonly ttl?: number;
}

export interface DnsServer extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Lower case names; others do not exist (NXDOMAIN). */
  readonly names: Map<string, Records>;
  /** `a redis.test`, in the order in which they came. */
  readonly questions: string[];
  /** What it does instead of answering. */
  trouble: 'none' | 'servfail' | 'silent';
  /** Makes what is sent instead of an answer. */
  forge: ((asked: Buffer) => Buffer) | null;
}

const types: Readonly<Record<number, 'a' | 'aaaa' | 'srv'>> = { 1: 'a', 28: 'aaaa', 33: 'srv' };

export async function startDns(names: Readonly<Record<string, Records>> = {}): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const server = { names: new Map(Object.entries(names)), questions: [] as string[], trouble: 'none' as DnsServer['trouble'], forge: null as DnsServer['forge'] };
  socket.on('message', (bytes, from) => {
    const { name, code, end } = questionOf(bytes);
    const type = types[code];
    server.questions.push(`${type ?? code} ${name}`);
    if (server.trouble === 'silent') return;
    if (server.forge !== null) return socket.send(server.forge(bytes), from.port, from.address);
    const found = server.names.get(name);
    const records = found === undefined || type === undefined ? [] : dataOf(found, type);
    const outcome = server.trouble === 'servfail' ? 2 : found === undefined ? 3 : 0;
    const head = Buffer.from([bytes[0]!, bytes[1]!, 0x81, 0x80 | outcome, 0, 1, 0, 0, 0, 0, 0, 0]);
    const answers = outcome === 0 ? records : [];
    head.writeUInt16BE(answers.length, 6);
    const lines = answers.map((data) => {
      // A pointer to the question's name, type, class, TTL, length.
      const line = Buffer.alloc(12);
      line.writeUInt16BE(0xc00c, 0);
      line.writeUInt16BE(code, 2);
      line.writeUInt16BE(1, 4);
      line.writeUInt32BE(found?.ttl ?? 60, 6);
      line.writeUInt16BE(data.length, 10);
      return Buffer.concat([line, data]);
    });
    socket.send(Buffer.concat([head, bytes.subarray(12, end), ...lines]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return Object.assign(server, {
    address: `127.0.0.1:${socket.address().port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  });
}

function questionOf(bytes: Buffer): { name: string; code: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = bytes[at]!; length > 0; length = bytes[at]!) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), code: bytes.readUInt16BE(at + 1), end: at + 5 };
}

function dataOf(records: Records, type: 'a' | 'aaaa' | 'srv'): Buffer[] {
  if (type === 'a') return (records.a ?? []).map((address) => Buffer.from(address.split('.').map(Number)));
  if (type === 'aaaa') return (records.aaaa ?? []).map((address) => Buffer.from(address.split(':').map((group) => group.padStart(4, '0')).join(''), 'hex'));
  return (records.srv ?? []).map(({ host, port, weight = 1, priority = 0 }) => {
    const numbers = Buffer.alloc(6);
    numbers.writeUInt16BE(priority, 0);
    numbers.writeUInt16BE(weight, 2);
    numbers.writeUInt16BE(port, 4);
    const name = host.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
    return Buffer.concat([numbers, Buffer.from([...name, 0])]);
  });
}
