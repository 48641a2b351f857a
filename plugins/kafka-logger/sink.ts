// One message per record, to one topic. The client is loaded when the first record is sent.
import type { Broker, Connection, Producer } from '@platformatic/kafka';
import { ProxyError } from '../../core/errors.ts';
import type { Targets } from '../../core/plugin.ts';
import type { Sink } from '../logger/sink.ts';

export interface KafkaOptions {
  readonly targets: Targets;
  readonly brokers: readonly { readonly host: string; readonly port: number }[];
  readonly topic: string;
  readonly key?: string;
  /** 1: the leader has them; -1: all replicas in sync have them. */
  readonly acks: 1 | -1;
  /** Milliseconds for connecting, and for each answer of a broker. */
  readonly timeout: number;
  /** Milliseconds after which it is asked anew who leads which partition. */
  readonly metadataAge: number;
  readonly sasl?: { readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'; readonly username: string; readonly password: string };
  readonly tls: boolean;
  readonly verify: boolean;
}

type Client = Producer<Buffer, Buffer, Buffer>;

export class KafkaSink implements Sink {
  readonly #options: KafkaOptions;
  #client: Promise<Client> | null = null;
  #closed = false;

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  async send(records: readonly string[]): Promise<number> {
    if (this.#closed) throw new Error('closed');
    const client = await (this.#client ??= this.#open());
    const { topic, key, acks } = this.#options;
    const named = key === undefined ? {} : { key: Buffer.from(key) };
    try {
      await client.send({ messages: records.map((record) => ({ topic, ...named, value: Buffer.from(record) })), acks });
    } catch (cause) {
      throw new Error(reasonOf(cause), { cause });
    }
    return 0;
  }

  async #open(): Promise<Client> {
    const { Producer: Made } = await import('@platformatic/kafka');
    const { brokers, timeout, metadataAge, sasl, tls, verify } = this.#options;
    const client = new Made<Buffer, Buffer, Buffer, Buffer>({
      clientId: 'millrace',
      bootstrapBrokers: brokers.map(({ host, port }) => ({ host, port })),
      connectTimeout: timeout, requestTimeout: timeout, timeout, metadataMaxAge: metadataAge,
      // Whether and when to try again is the batch's business. Another leader is asked at once in any case.
      retries: 0,
      autocreateTopics: true,
      ...(sasl === undefined ? {} : { sasl }),
      ...(tls ? { tls: { rejectUnauthorized: verify }, tlsServerName: true } : {}),
    });
    client.connections.on('connecting', ({ broker, connection }) => this.#watch(broker, connection));
    return client;
  }

  /** The client takes no look-up function, and brokers name others. */
  #watch({ host, port }: Broker, connection: Connection): void {
    const { targets } = this.#options;
    // The socket is made in this turn, and connected in the next one or when its name was looked up.
    process.nextTick(() => {
      const { socket } = connection;
      const judge = (address: string): void => {
        const refusal = targets.refusal(address, port);
        if (refusal !== null) socket.destroy(new ProxyError('TARGET_REFUSED', `${host}: ${refusal}`));
      };
      judge(host);
      socket.on('lookup', (_cause, address) => judge(address));
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = await this.#client?.catch(() => null);
    await client?.close(true).catch(() => undefined);
  }
}

/** What happened stands deepest: the outer texts say only that it failed. */
function reasonOf(cause: unknown): string {
  const inner: unknown = cause instanceof AggregateError ? cause.errors.at(-1) : cause instanceof Error ? cause.cause : undefined;
  if (inner instanceof Error) return reasonOf(inner);
  return cause instanceof Error ? cause.message : String(cause);
}
