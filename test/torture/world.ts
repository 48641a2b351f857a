// What all clients of a torture run share: dice, counts, the counters' ledger, and what ends the run.
import { Dice } from '../support/dice.ts';
import { CounterLedger } from '../support/oracle-kinds.ts';
import { RespClient } from '../support/resp-client.ts';
import type { Argument, Value } from '../support/resp.ts';

export interface Wrong {
  readonly client: string;
  readonly step: string;
  readonly expected: string;
  readonly got: string;
  /** Last 64 KiB each way. */
  readonly sent: Buffer;
  readonly received: Buffer;
}

export class World {
  readonly seed: number;
  readonly port: number;
  readonly largest: number;
  readonly ledger = new CounterLedger();
  readonly errors = new Map<string, number>();
  /** Scenes that ended with every reply right, by name. */
  readonly scenes = new Map<string, number>();
  ok = 0;
  closed = 0;
  cancelled = 0;
  stalled = 0;
  connects = 0;
  messages = 0;
  wrong: Wrong | null = null;
  #over = false;
  #helper: Promise<RespClient> | null = null;

  constructor(seed: number, port: number, largest: number) {
    this.seed = seed;
    this.port = port;
    this.largest = largest;
  }

  get over(): boolean { return this.#over || this.wrong !== null; }
  end(): void { this.#over = true; }

  dice(index: number): Dice { return new Dice(this.seed + index * 7919 + 1); }

  error(text: string): void {
    const shape = text.slice(0, 90).replaceAll(/(injected for|denied by v\d+:) .*/g, '$1 …').replaceAll(/\d+/g, '#');
    this.errors.set(shape, (this.errors.get(shape) ?? 0) + 1);
  }

  scene(name: string): void { this.scenes.set(name, (this.scenes.get(name) ?? 0) + 1); }

  /** A command on a connection of its own through the proxy, for the other half of a pair. Null: it failed. */
  async helper(...args: Argument[]): Promise<Value> {
    const made = (this.#helper ??= RespClient.connect(this.port, { timeout: 4000 }));
    try {
      const client = await made;
      if (client.ended !== null) throw new Error(client.ended);
      return await client.command(...args);
    } catch {
      // Replies of a helper that failed once cannot be told apart any more: the next one is new.
      if (this.#helper === made) this.#helper = null;
      void made.then((client) => client.close(), () => undefined);
      return null;
    }
  }

  async close(): Promise<void> {
    await this.#helper?.then((client) => client.close(), () => undefined);
  }
}
