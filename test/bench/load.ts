// The load generator and Redis stand-in of load.c, compiled at first use, commanded over its standard input.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { folder, startChild, type Child } from './children.ts';
import { cpuMicroseconds } from './usage.ts';

export interface Shape {
  readonly op: 'get' | 'set';
  readonly connections: number;
  /** Requests that a client sends before it waits for their replies. */
  readonly depth: number;
  /** Of the value. */
  readonly bytes: number;
}

export interface Measured {
  readonly requestsPerSecond: number;
  /** Processor time of the proxy per request, in microseconds. */
  readonly cpu: number;
  /** Part of the time that the proxy was on its processor; well below 1, the load generator was the limit. */
  readonly busy: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

export class Load implements AsyncDisposable {
  readonly #child: Child;
  readonly #lines: AsyncIterator<string>;
  /** Where the stand-in listens. */
  port = 0;

  private constructor(child: Child) {
    this.#child = child;
    this.#lines = createInterface({ input: child.process.stdout! })[Symbol.asyncIterator]();
    // When it ended by itself, its last line says why; a failing write would say less.
    child.process.stdin!.on('error', () => undefined);
  }

  static async start(cpu: number): Promise<Load> {
    const load = new Load(startChild('the load generator', [compiled()], { cpu, talk: 'pipe' }));
    load.port = (await load.#expect('listening'))[0]!;
    return load;
  }

  /** Loads the proxy `pid` that listens on `port`. */
  async run(pid: number, port: number, shape: Shape, ms: number): Promise<Measured> {
    this.#say(`run ${port} ${shape.op} ${shape.connections} ${shape.depth} ${shape.bytes} ${ms}`);
    await this.#expect('warm');
    const before = cpuMicroseconds(pid);
    await this.#expect('done');
    const used = cpuMicroseconds(pid) - before;
    const [seconds = 0, requests = 0, p50 = 0, p99 = 0] = await this.#expect('result');
    if (requests === 0) throw new Error(`no reply within ${ms} ms`);
    const requestsPerSecond = requests / seconds;
    return { requestsPerSecond, cpu: used / requests, busy: used / (seconds * 1e6), p50, p99 };
  }

  /** Opens connections, makes one request on each and leaves them open. */
  async hold(port: number, connections: number): Promise<void> {
    this.#say(`hold ${port} ${connections}`);
    await this.#expect('held');
  }

  /** Makes requests over the held connections, each waiting for its reply; answers how many were answered. */
  async fetch(requests: number): Promise<number> {
    this.#say(`fetch ${requests}`);
    return (await this.#expect('fetched'))[0]!;
  }

  async drop(): Promise<void> {
    this.#say('drop');
    await this.#expect('dropped');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }

  #say(command: string): void {
    this.#child.process.stdin!.write(`${command}\n`);
  }

  async #expect(word: string): Promise<number[]> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error('the load generator ended');
    const line = next.value;
    if (line.startsWith('error ')) throw new Error(line.slice('error '.length));
    const [first, ...numbers] = line.split(' ');
    if (first !== word) throw new Error(`load generator: expected "${word}", got "${line}"`);
    return numbers.map(Number);
  }
}

function compiled(): string {
  const program = join(folder, 'load');
  if (existsSync(program)) return program;
  const source = join(import.meta.dirname, 'load.c');
  const { error, status, stderr } = spawnSync('cc', ['-O2', '-o', program, source]);
  if (error !== undefined) throw new Error('cc was not found (Debian: apt-get install gcc libc6-dev)');
  if (status !== 0) throw new Error(`load.c does not compile:\n${stderr.toString()}`);
  return program;
}
