// The `millrace` command as a process of its own, in a folder of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const main = resolve('core/main.ts');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export class Place implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'millrace-cli-'));

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    writeFileSync(join(this.path, name), text);
  }

  async run(...args: string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  start(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Running {
    return new Running(spawn(process.execPath, [main, ...args], {
      cwd: this.path, env: { ...cleanEnvironment(), ...environment },
    }));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export class Running implements AsyncDisposable {
  readonly ended: Promise<Ended>;
  out = '';
  err = '';
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.on('data', (bytes) => { this.out += String(bytes); });
    child.stderr!.on('data', (bytes) => { this.err += String(bytes); });
    this.ended = once(child, 'close')
      .then(([code]) => ({ code: code as number | null, out: this.out, err: this.err }));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits until it printed that it runs. */
  async started(): Promise<string> {
    await this.saw(() => this.out.includes('\nTry'));
    return this.out;
  }

  async saw(what: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!what()) {
      if (Date.now() > deadline || this.#child.exitCode !== null) {
        throw new Error(`not seen; exit code ${this.#child.exitCode}, out: ${this.out}, err: ${this.err}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.ended;
  }
}

// Settings of whoever runs the tests are not the tests'.
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(MILLRACE_|NODE_OPTIONS|VITEST)/.test(name)));
}
