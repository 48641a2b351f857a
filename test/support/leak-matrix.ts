// Danger S1: does any state of client A reach client B? For every command and subcommand that the server
// knows, A runs it and goes away; B must then look like the very first client.
import { blocking, byHand, keysByGroup, refused, restoring, sequences } from './leak-arguments.ts';
import { RespClient } from './resp-client.ts';
import { encodeCommand, RespError, type Value } from './resp.ts';

export interface LeakEntry {
  /** `get`, `client|reply`, or the name of a sequence. */
  readonly name: string;
  /** Sent before `args` on the same connection. */
  readonly before: readonly (readonly string[])[];
  readonly args: readonly string[];
  readonly notes: string;
  /** A's command waits: A also disconnects meanwhile. */
  readonly blocks: boolean;
  /** The proxy must refuse it by default; never sent straight to a server. */
  readonly refused: boolean;
}

export type Ending = 'normal' | 'reset' | 'mid-pipeline' | 'blocked';
export const endings: readonly Ending[] = ['normal', 'reset', 'mid-pipeline', 'blocked'];

export interface LeakDifference {
  readonly entry: string;
  readonly ending: Ending;
  /** Who saw it: a new client, or one that was connected all the time. */
  readonly client: 'new' | 'witness' | 'A';
  readonly probe: string;
  readonly expected: string;
  readonly got: string;
}

export interface LeakOptions {
  /** What is tested; the server itself shows that the matrix is right. */
  readonly port: number;
  /** The server behind it, where keys and users are put back between entries. */
  readonly serverPort: number;
  /** Send the dangerous ones too and expect an error. Only for a proxy. */
  readonly expectRefusals: boolean;
  readonly entries?: readonly LeakEntry[];
  readonly endings?: readonly Ending[];
  /** New clients per probe; more than one reaches more of a pool's links. */
  readonly probers?: number;
  /** Longest wait for a probe's replies; default 2000. */
  readonly probeMs?: number;
}

// Each probe's reply is compared byte by byte (CLIENT INFO: its telling fields).
const probes: readonly (readonly string[])[] = [
  ['PING'], ['CLIENT', 'INFO'], ['CLIENT', 'GETNAME'], ['ACL', 'WHOAMI'], ['GET', 'lm:canary'], ['EXEC'],
  ['DISCARD'],
  ['CLIENT', 'GETREDIR'], ['CLIENT', 'TRACKINGINFO'], ['HGETALL', 'lm:hash'], ['ZSCORE', 'lm:zset', 'm'],
  ['GET', 'lm:nothing'],
  ['EVAL', 'return 7', '0'], ['PING', 'x'],
];
const TELLING = new Set(['name', 'flags', 'db', 'sub', 'psub', 'ssub', 'multi', 'user', 'redir', 'resp']);

/** All entries for the commands that this server knows, with the hand-written sequences. */
export async function leakMatrix(serverPort: number): Promise<LeakEntry[]> {
  await using client = await RespClient.connect(serverPort);
  const docs = pairs(await client.command('COMMAND', 'DOCS'));
  const commands = await client.command('COMMAND');
  if (!Array.isArray(commands)) throw new Error('COMMAND: expected an array');
  const entries: LeakEntry[] = [];
  for (const command of commands.flatMap(withSubcommands)) {
    const name = text(command[0]);
    const [container = '', sub] = name.split('|');
    const whole = pairs(docs.get(container));
    const doc = sub === undefined ? whole : pairs(pairs(whole.get('subcommands')).get(name));
    entries.push(entry(name, argumentsOf(name, doc, text(whole.get('group')))));
  }
  for (const [name, lines] of Object.entries(sequences)) {
    const steps = lines.map((line) => line.split(' '));
    entries.push({ ...entry(name, []), before: steps.slice(0, -1), args: steps.at(-1) ?? [],
      notes: lines.join('; ') });
  }
  entries.push({ ...entry('debug', ['SEGFAULT']), name: 'debug segfault', notes: 'stops the server' });
  return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Runs the matrix and returns what B saw otherwise than a fresh client; empty is right. */
export async function runLeakMatrix(options: LeakOptions): Promise<LeakDifference[]> {
  const run = new LeakRun(options, await RespClient.connect(options.serverPort));
  const entries = options.entries ?? await leakMatrix(options.serverPort);
  try {
    await run.start();
    for (const each of entries) {
      if (each.refused && !options.expectRefusals) continue;
      for (const ending of options.endings ?? endings) {
        if (ending === 'blocked' && !each.blocks) continue;
        await run.try(each, ending);
      }
    }
  } finally {
    await run.close();
  }
  return run.differences;
}

/** Puts keys, users and functions back; `direct` is connected to the server itself. */
export async function restoreServer(direct: RespClient): Promise<void> {
  const replies = await direct.pipeline(restoring);
  for (const [i, reply] of replies.entries()) {
    if (reply instanceof RespError)
      throw new Error(`the server can't be put back: ${restoring[i]?.join(' ')}: ${reply.text}`);
  }
}

class LeakRun {
  readonly differences: LeakDifference[] = [];
  readonly #options: LeakOptions;
  readonly #direct: RespClient;
  #expected: string[] = [];
  #witness: RespClient | null = null;
  #witnessExpected: string[] = [];

  constructor(options: LeakOptions, direct: RespClient) {
    this.#options = options;
    this.#direct = direct;
  }

  async start(): Promise<void> {
    await this.#restore();
    this.#expected = await this.#probeNew();
    await this.#newWitness();
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct.close(), this.#witness?.close()]);
  }

  async try(entry: LeakEntry, ending: Ending): Promise<void> {
    await this.#restore();
    await this.#act(entry, ending);
    await this.#arrived();
    await this.#restore();          // SWAPDB and FLUSHALL are no leak of the connection
    const fresh = await Promise.all(Array.from({ length: this.#options.probers ?? 2 },
      () => this.#probeNew()));
    for (const got of fresh) this.#compare(entry, ending, 'new', this.#expected, got);
    const witness = this.#witness;
    if (witness === null) return;
    const seen = await probe(witness);
    this.#compare(entry, ending, 'witness', this.#witnessExpected, seen);
    const changed = seen.some((each, i) => each !== this.#witnessExpected[i]);
    if (changed || witness.ended !== null) await this.#newWitness();
  }

  async #act({ before, args, refused: mustRefuse, name }: LeakEntry, ending: Ending): Promise<void> {
    // Who must be refused waits for it, however busy the machine is; others may well get no answer.
    const timeout = mustRefuse ? 10_000 : ending === 'blocked' ? 20 : 40;
    const client = await RespClient.connect(this.#options.port, { timeout });
    for (const step of before) client.send(encodeCommand(step));
    client.send(encodeCommand(args));
    if (ending === 'mid-pipeline') {
      const behind = [encodeCommand(['GET', 'lm:string']), encodeCommand(['INCR', 'lm:string']),
        Buffer.from('*2\r\n$3\r\nGE')];
      client.send(Buffer.concat(behind));
      await new Promise((resolve) => { setTimeout(resolve, 2); });
    } else {
      // Some commands answer nothing (CLIENT REPLY OFF) or wait: the timeout is no failure.
      const reply = await client.read(before.length + 1).then((replies) => replies.at(-1), () => undefined);
      if (mustRefuse && !(reply instanceof RespError)) {
        const got = client.ended === null ? JSON.stringify(reply) ?? 'no reply'
          : `the connection ended (${client.ended})`;
        this.differences.push({ entry: name, ending, client: 'A', probe: args.join(' '), expected: 'an error',
          got });
      }
    }
    if (ending === 'normal') await client.close();
    else client.reset();
  }

  /**
   * What A sent before it went has reached the server: else its command would run on what was put back. Each round trip
   * beside the proxy is a turn of the event loop for a proxy in this process, and one for the server; a new connection
   * with its greeting takes about six. Nobody is asked through the proxy, who might see what is meant for the probes.
   */
  async #arrived(): Promise<void> {
    for (let i = 0; i < 12; i++) await this.#direct.command('PING');
  }

  #restore(): Promise<void> { return restoreServer(this.#direct); }

  async #probeNew(): Promise<string[]> {
    try {
      await using client =
        await RespClient.connect(this.#options.port, { timeout: this.#options.probeMs ?? 2000 });
      return await probe(client);
    } catch (error) {
      return probes.map(() => String(error));
    }
  }

  async #newWitness(): Promise<void> {
    await this.#witness?.close();
    this.#witness = await RespClient.connect(this.#options.port, { timeout: this.#options.probeMs ?? 2000 });
    this.#witnessExpected = await probe(this.#witness);
  }

  #compare(entry: LeakEntry, ending: Ending, client: 'new' | 'witness', expected: string[],
    got: string[]): void {
    for (const [i, each] of expected.entries()) {
      if (got[i] === each) continue;
      const what = probes[i]?.join(' ') ?? 'pushes';
      this.differences.push({ entry: entry.name, ending, client, probe: what, expected: each,
        got: got[i] ?? 'nothing' });
    }
  }
}

// One text per probe, and one for bytes that nobody asked for.
async function probe(client: RespClient): Promise<string[]> {
  client.send(Buffer.concat(probes.map((args) => encodeCommand(args))));
  try {
    const frames = await client.readFrames(probes.length);
    return [...frames.map((frame) => telling(frame.toString('latin1'))), `${client.pushes.length} pushes`];
  } catch (error) {
    return [...probes.map(() => (error as Error).message), 'unknown'];
  }
}

function telling(reply: string): string {
  const match = /^\$\d+\r\n(?:txt:)?(id=.* (?:resp|redir)=.*)\s+$/.exec(reply);
  if (match === null) return reply;
  return (match[1] ?? '').split(' ').filter((field) => TELLING.has(field.split('=')[0] ?? '')).join(' ');
}

function entry(name: string, args: readonly string[]): LeakEntry {
  const notes = refused.has(name) ? 'refused by default' : blocking.has(name) ? 'blocks' : '';
  const words = name.split('|').map((word) => word.toUpperCase());
  return { name, before: [], args: [...words, ...args], notes, blocks: blocking.has(name),
    refused: refused.has(name) };
}

function argumentsOf(name: string, doc: ReadonlyMap<string, Value>, group: string): readonly string[] {
  const hand = byHand[name];
  if (typeof hand === 'string') return hand.split(' ').filter((word) => word !== '');
  if (hand !== undefined) return hand;
  return syntax(doc.get('arguments') ?? null, keysByGroup[group] ?? 'lm:string');
}

// The shortest line that the documented syntax allows.
function syntax(args: Value, key: string): string[] {
  if (!Array.isArray(args)) return [];
  return args.flatMap((each) => {
    const arg = pairs(each);
    const flags = arg.get('flags') ?? [];
    if (Array.isArray(flags) && flags.includes('optional')) return [];
    const token = arg.has('token') ? [text(arg.get('token'))] : [];
    const inner = arg.get('arguments') ?? null;
    switch (text(arg.get('type'))) {
      case 'pure-token': return token;
      case 'key': return [...token, key];
      case 'oneof': return [...token, ...syntax(Array.isArray(inner) ? inner.slice(0, 1) : null, key)];
      case 'block': return [...token, ...syntax(inner, key)];
      case 'pattern': return [...token, '*'];
      case 'integer': case 'double': case 'unix-time': return [...token, '1'];
      default: return [...token, 'm'];
    }
  });
}

// A row of COMMAND and those of its subcommands, which stand at index 9.
function withSubcommands(row: Value): Value[][] {
  if (!Array.isArray(row)) return [];
  const below = Array.isArray(row[9]) ? row[9] : [];
  return [row, ...below.flatMap(withSubcommands)];
}

function pairs(value: Value | undefined): Map<string, Value> {
  const map = new Map<string, Value>();
  if (!Array.isArray(value)) return map;
  for (let i = 0; i + 1 < value.length; i += 2) map.set(text(value[i]), value[i + 1] ?? null);
  return map;
}

function text(value: Value | undefined): string { return typeof value === 'string' ? value : ''; }
