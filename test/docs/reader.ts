// Follows a page as a reader does: Millrace as a process of its own in an empty folder, and a shell beside it. Ports are
// the only thing that differs from what the page says.
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { Place, type Running } from '../cli/millrace.ts';
import { freePort } from '../support/ports.ts';
import { looksLike, type Block } from './page.ts';

// redis-cli shows a terminal's answers to a terminal only, curl its progress to everybody else.
const shell = `redis-cli() { command redis-cli --no-raw "$@"; }
curl() { command curl -sS $CURL_FAIL "$@"; }
millrace() { '${process.execPath}' '${resolve('core/main.ts')}' "$@"; }
# A busy machine needs longer than a page asks of its reader.
sleep() { command sleep 2; }
cd "$PLACE"
if [ -e .shell ]; then . ./.shell; fi
`;
// What a block defines is there in the next one, as in a terminal.
const keep = '\n{ declare -f; for each in key admin; do if [ -n "${!each:-}" ]; then declare -p "$each"; fi; done; } > .shell\n';

export class Reader implements AsyncDisposable {
  readonly place = new Place();
  #running: Running | null = null;
  readonly #ports: ReadonlyMap<string, number>;

  private constructor(ports: ReadonlyMap<string, number>) {
    this.#ports = ports;
  }

  /** `ports`: what stands on the page for ports beside Millrace's own → what they are here. */
  static async open(ports: Readonly<Record<string, number>> = {}): Promise<Reader> {
    const own = { 9101: await freePort(), 9180: await freePort() };
    // A port that was freed a moment ago may be given again.
    while (own[9180] === own[9101]) own[9180] = await freePort();
    return new Reader(new Map(Object.entries({ ...own, ...ports })));
  }

  get #environment(): Readonly<Record<string, string>> {
    return { MILLRACE_ADMIN_LISTEN: `127.0.0.1:${this.port('9180')}`, MILLRACE_WORKERS: '2' };
  }

  port(shown: string): number {
    return this.#ports.get(shown)!;
  }

  /** Saves the YAML block that holds this as a file beside Millrace. */
  save(name: string, blocks: readonly Block[], holds: string): void {
    const block = blocks.find(({ language, code }) => language === 'yaml' && code.includes(holds));
    if (block === undefined) throw new Error(`no yaml with ${holds} on the page`);
    this.place.write(name, this.translate(block.code));
  }

  /** `millrace start`, or again after it was stopped. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<string> {
    await this.stop();
    this.#running = this.place.start(['start'], { ...this.#environment, MILLRACE_LISTEN: String(this.port('9101')), ...environment });
    return this.#running.started();
  }

  get log(): string {
    return this.#running?.out ?? '';
  }

  async stop(): Promise<void> {
    this.#running?.signal('SIGTERM');
    await this.#running?.ended;
    this.#running = null;
  }

  translate(text: string): string {
    let here = text;
    for (const [shown, port] of this.#ports) here = here.replaceAll(new RegExp(`\\b${shown}\\b`, 'g'), String(port));
    return here;
  }

  /** `refused`: an HTTP error is what the page wants to show. */
  run(code: string, refused = false): Promise<string> {
    return new Promise((done, failed) => {
      const environment = { ...process.env, ...this.#environment, PLACE: this.place.path, CURL_FAIL: refused ? '' : '--fail-with-body' };
      execFile('bash', ['-euc', shell + this.translate(code) + keep], { env: environment, timeout: 30_000 }, (error, out, err) => {
        if (error === null) done(out + err);
        else failed(new Error(`${error.message}\n${out}\n${err}`));
      });
    });
  }

  /** Runs a block; throws unless what comes is what the page shows. */
  async follow({ code, shown }: Block): Promise<void> {
    const out = await this.run(code, shown?.includes('error_msg'));
    if (shown !== null && !looksLike(this.translate(shown), out)) {
      throw new Error(`the page shows:\n${this.translate(shown)}\nbut came:\n${out}\nof:\n${code}`);
    }
  }

  async followAll(blocks: readonly Block[]): Promise<number> {
    const commands = blocks.filter(({ language }) => language === 'bash');
    for (const block of commands) await this.follow(block);
    return commands.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.[Symbol.asyncDispose]();
    this.place[Symbol.dispose]();
  }
}
