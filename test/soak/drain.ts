// G7: SIGTERM under load. Every request whose bytes reached the server is answered.
import { connect } from 'node:net';
import { startEvilUpstream } from '../support/evil-upstream.ts';
import { encodeCommand } from '../support/resp.ts';
import { sleep } from '../support/sleep.ts';
import { startMillrace } from './process.ts';

export interface DrainResult {
  readonly code: number | null;
  readonly ms: number;
  readonly requests: number;
  /** Executed by the server, and no answer came: key, executed, answered. */
  readonly unanswered: readonly string[];
  readonly output: string;
}

export async function drainUnderLoad(clients: number, depth: number, seconds: number): Promise<DrainResult> {
  await using upstream = await startEvilUpstream({ seed: 1 });
  await using millrace = await startMillrace({ upstream: upstream.port, settings: { drain_timeout_s: 10 } });
  const counters = Array.from({ length: clients }, (_, i) => new Counting(millrace.port, `n${i}`, depth));
  // All of them are under way, however slow the machine is.
  for (let tries = 0; tries < 1000 && counters.some(({ answered }) => answered <= 10); tries++) await sleep(10);
  await sleep(seconds * 1000);
  const { code, ms, output } = await millrace.stop('SIGTERM');
  await sleep(100);
  const unanswered: string[] = [];
  let requests = 0;
  for (const { key, answered } of counters) {
    const executed = upstream.executed.get(`incr ${key}`) ?? 0;
    requests += answered;
    if (executed !== answered) unanswered.push(`${key}: executed ${executed}, answered ${answered}`);
  }
  for (const each of counters) each.close();
  return { code, ms, requests, unanswered, output };
}

/** Keeps `depth` INCRs of its key under way until it is closed. */
class Counting {
  readonly key: string;
  answered = 0;
  readonly #socket;

  constructor(port: number, key: string, depth: number) {
    this.key = key;
    const one = encodeCommand(['INCR', key]);
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.once('connect', () => socket.write(Buffer.concat(Array.from({ length: depth }, () => one))));
    socket.on('data', (bytes: Buffer) => {
      let came = 0;
      for (const byte of bytes) if (byte === 10) came++;
      this.answered += came;
      if (came > 0) socket.write(came === 1 ? one : Buffer.concat(Array.from({ length: came }, () => one)));
    });
    socket.on('error', () => {});
  }

  close(): void { this.#socket.destroy(); }
}
