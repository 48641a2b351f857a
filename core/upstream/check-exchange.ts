// What the workers of one process tell each other about checks, so that a node is probed once per process and not once
// per worker, and all of them think the same of it. Nobody leads: whoever hears that another one probes puts its own
// probe off, the later the higher its number. When the one who probes ends, the next takes over.
import { BroadcastChannel } from 'node:worker_threads';
import type { CheckNews } from './check.ts';

interface Message {
  readonly key: string;
  readonly news: CheckNews;
}

export class CheckExchange {
  readonly #channel: BroadcastChannel;

  /** `name`: the same in all workers, and in no other application of the process. */
  constructor(name: string, heard: (key: string, news: CheckNews) => void) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.unref();
    this.#channel.onmessage = ({ data }: { data: unknown }) => {
      const { key, news } = data as Message;
      heard(key, news);
    };
  }

  tell(key: string, news: CheckNews): void {
    this.#channel.postMessage({ key, news } satisfies Message);
  }

  close(): void {
    this.#channel.close();
  }
}
