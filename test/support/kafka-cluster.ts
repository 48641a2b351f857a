// Brokers that speak enough of Kafka's protocol for a producer: ApiVersions 3, Metadata 12, Produce 9, SASL PLAIN. They
// keep what they get, and fail as they are told.
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface KafkaRecord {
  readonly broker: number;
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: string;
}

export interface KafkaCluster extends AsyncDisposable {
  readonly ports: readonly number[];
  readonly records: KafkaRecord[];
  /** Acks that Produce requests asked for. */
  readonly acks: number[];
  /** The broker that leads each partition. */
  readonly leaders: number[];
  /** Produce requests are read and never answered. */
  silent: boolean;
  /** Where set, brokers want it. */
  login: { user: string; password: string } | null;
  /** Connections accepted. */
  readonly accepted: number;
  stop(broker: number): Promise<void>;
  restart(broker: number): Promise<void>;
}

const apiVersions = 18;
const metadata = 3;
const produce = 0;
const saslHandshake = 17;
const saslAuthenticate = 36;
const notLeader = 6;

export async function startKafka(brokers = 1, partitions = 1): Promise<KafkaCluster> {
  const servers: Server[] = [];
  const sockets = Array.from({ length: brokers }, () => new Set<Socket>());
  const ports: number[] = [];
  let accepted = 0;
  const cluster = {
    ports, records: [] as KafkaRecord[], acks: [] as number[], leaders: Array.from({ length: partitions }, () => 0),
    silent: false, login: null as KafkaCluster['login'],
    get accepted() { return accepted; },
  };
  const serve = (id: number): Server => createServer((socket) => {
    accepted++;
    sockets[id]!.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    let known = false;
    socket.on('error', () => undefined).on('close', () => sockets[id]!.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const size = rest.readInt32BE(0);
        const reader = new Reader(rest.subarray(4, 4 + size));
        rest = rest.subarray(4 + size);
        const [api, version, correlation] = [reader.i16(), reader.i16(), reader.i32()];
        reader.string();
        const answer = new Writer().i32(correlation);
        if (api === apiVersions) {
          answer.i16(0).array([[apiVersions, 3], [metadata, 12], [produce, 9], [saslHandshake, 1], [saslAuthenticate, 2]],
            ([key, at]) => answer.i16(key!).i16(at!).i16(at!).tags()).i32(0).tags();
        } else if (api === saslHandshake) {
          answer.i16(0).i32(1).i16(5).text('PLAIN');
        } else if (api === saslAuthenticate) {
          reader.tags();
          const [, user, password] = reader.compactBytes()!.toString().split('\0');
          known = user === cluster.login?.user && password === cluster.login?.password;
          answer.tags().i16(known ? 0 : 58).compact(known ? null : 'wrong password').compact('').i64(0n).tags();
        } else if (cluster.login !== null && !known) {
          socket.destroy();
          return;
        } else if (api === metadata) {
          reader.tags();
          const topics = reader.array(() => {
            reader.skip(16);
            const name = reader.compact();
            reader.tags();
            return name;
          });
          answer.tags().i32(0)
            .array(ports, (port, node) => answer.i32(node).compact('127.0.0.1').i32(port).compact(null).tags())
            .compact('cluster').i32(0)
            .array(topics, (name) => answer.i16(0).compact(name).zeros(16).i8(0)
              .array(cluster.leaders, (leader, index) => answer.i16(0).i32(index).i32(leader).i32(0)
                .array([leader], (node) => answer.i32(node)).array([leader], (node) => answer.i32(node)).array([], () => answer).tags())
              .i32(0).tags())
            .tags();
        } else if (api === produce) {
          reader.tags();
          reader.compact();
          const acks = reader.i16();
          reader.i32();
          if (cluster.silent) continue;
          cluster.acks.push(acks);
          const topics = reader.array(() => {
            const topic = reader.compact()!;
            const results = reader.array(() => {
              const partition = reader.i32();
              const batch = reader.compactBytes()!;
              reader.tags();
              const leads = cluster.leaders[partition] === id;
              if (leads) cluster.records.push(...readBatch(batch).map((each) => ({ broker: id, topic, partition, ...each })));
              return { partition, code: leads ? 0 : notLeader };
            });
            reader.tags();
            return { topic, results };
          });
          answer.tags().array(topics, ({ topic, results }) => answer.compact(topic)
            .array(results, ({ partition, code }) => answer.i32(partition).i16(code).i64(0n).i64(-1n).i64(0n).array([], () => answer).compact(null).tags())
            .tags()).i32(0).tags();
        } else {
          throw new Error(`unexpected request ${api} version ${version}`);
        }
        socket.write(answer.frame());
      }
    });
  });
  const listen = async (id: number, port: number): Promise<void> => {
    const server = servers[id] = serve(id);
    await new Promise<void>((resolve, reject) => { server.once('error', reject).listen(port, '127.0.0.1', resolve); });
    ports[id] = (server.address() as AddressInfo).port;
  };
  const stop = async (id: number): Promise<void> => {
    for (const socket of sockets[id]!) socket.resetAndDestroy();
    await new Promise((resolve) => { servers[id]!.close(resolve); });
  };
  for (let id = 0; id < brokers; id++) await listen(id, 0);
  return Object.assign(cluster, {
    stop,
    restart: (id: number) => listen(id, ports[id]!),
    [Symbol.asyncDispose]: async () => { for (let id = 0; id < brokers; id++) await stop(id); },
  });
}

/** A record batch, magic 2, without compression. */
function readBatch(bytes: Buffer): { key: string | null; value: string }[] {
  const reader = new Reader(bytes);
  reader.skip(57);
  return Array.from({ length: reader.i32() }, () => {
    reader.zigzag();
    reader.skip(1);
    reader.zigzag();
    reader.zigzag();
    const key = reader.varBytes();
    const value = String(reader.varBytes());
    for (let headers = reader.zigzag(); headers > 0; headers--) {
      reader.varBytes();
      reader.varBytes();
    }
    return { key: key === null ? null : String(key), value };
  });
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) { this.#bytes = bytes; }
  skip(count: number): void { this.#at += count; }
  i16(): number { return this.#bytes.readInt16BE((this.#at += 2) - 2); }
  i32(): number { return this.#bytes.readInt32BE((this.#at += 4) - 4); }
  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  }
  zigzag(): number {
    const value = this.varint();
    return (value >>> 1) ^ -(value & 1);
  }
  take(length: number): Buffer { return this.#bytes.subarray(this.#at, this.#at += length); }
  string(): string | null {
    const length = this.i16();
    return length < 0 ? null : String(this.take(length));
  }
  compactBytes(): Buffer | null {
    const length = this.varint();
    return length === 0 ? null : this.take(length - 1);
  }
  compact(): string | null { return this.compactBytes()?.toString() ?? null; }
  varBytes(): Buffer | null {
    const length = this.zigzag();
    return length < 0 ? null : this.take(length);
  }
  array<T>(read: () => T): T[] { return Array.from({ length: Math.max(0, this.varint() - 1) }, read); }
  tags(): void { for (let count = this.varint(); count > 0; count--) { this.varint(); this.take(this.varint()); } }
}

class Writer {
  readonly #parts: Buffer[] = [];
  #add(size: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.alloc(size);
    write(bytes);
    this.#parts.push(bytes);
    return this;
  }
  i8(value: number): this { return this.#add(1, (bytes) => bytes.writeInt8(value)); }
  i16(value: number): this { return this.#add(2, (bytes) => bytes.writeInt16BE(value)); }
  i32(value: number): this { return this.#add(4, (bytes) => bytes.writeInt32BE(value)); }
  i64(value: bigint): this { return this.#add(8, (bytes) => bytes.writeBigInt64BE(value)); }
  zeros(count: number): this { return this.#add(count, () => undefined); }
  text(value: string): this { this.#parts.push(Buffer.from(value)); return this; }
  varint(value: number): this { return value < 128 ? this.#add(1, (bytes) => { bytes[0] = value; }) : this.#add(2, (bytes) => { bytes[0] = (value & 127) | 128; bytes[1] = value >> 7; }); }
  compact(value: string | null): this { return value === null ? this.varint(0) : this.varint(value.length + 1).text(value); }
  array<T>(list: readonly T[], write: (item: T, index: number) => unknown): this {
    this.varint(list.length + 1);
    list.forEach(write);
    return this;
  }
  tags(): this { return this.varint(0); }
  frame(): Buffer {
    const body = Buffer.concat(this.#parts);
    const size = Buffer.alloc(4);
    size.writeInt32BE(body.length);
    return Buffer.concat([size, body]);
  }
}
