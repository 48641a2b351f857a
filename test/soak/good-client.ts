import { RespClient } from '../support/resp-client.ts';
import { sleep } from '../support/sleep.ts';

export interface Ran {
  /** What each answer took, in ms. */
  readonly times: number[];
  readonly failed: number;
}

/** Asks for something, checks the answer, and asks again a little later. */
export class GoodClient {
  /** What it got instead, once each. */
  readonly strange = new Set<string>();
  readonly #client: RespClient;
  readonly #index: number;

  static async connect(port: number, index: number): Promise<GoodClient> {
    return new GoodClient(await RespClient.connect(port), index);
  }

  private constructor(client: RespClient, index: number) {
    this.#client = client;
    this.#index = index;
  }

  async run(seconds: number): Promise<Ran> {
    const until = performance.now() + seconds * 1000;
    const times: number[] = [];
    let failed = 0;
    for (let n = 0; performance.now() < until && this.#client.ended === null; n++) {
      const from = performance.now();
      const text = `good:${this.#index}:${n}`;
      const reply = await this.#client.command('ECHO', text).catch(String);
      if (reply !== text) {
        failed++;
        this.strange.add(JSON.stringify(reply).slice(0, 200));
      }
      times.push(performance.now() - from);
      await sleep(1);
    }
    return { times, failed };
  }

  close(): void { void this.#client.close(); }
}
