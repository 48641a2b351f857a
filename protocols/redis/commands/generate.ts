// Writes table.json from what a live server says about its own commands.
// Run: node protocols/redis/commands/generate.ts (takes redis-server from PATH).
// Facts only: names, arity, flags, key positions, routing tips. What newer servers add is in additions.ts.
// The casts are the shape of COMMAND's reply since Redis 7.0.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandFacts, KeySpec } from './facts.ts';

type Resp = string | number | null | Resp[];

const file = new URL('./table.json', import.meta.url);
const command = 'node protocols/redis/commands/generate.ts';

async function main(): Promise<void> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'millrace-commands-'));
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir];
  const server = spawn('redis-server', options, { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  try {
    const socket = await open(port);
    const info = (await ask(socket, 'INFO server')) as string;
    const rows = (await ask(socket, 'COMMAND')) as Resp[];
    socket.destroy();
    write(/redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown', rows);
  } finally {
    server.kill('SIGKILL');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  }
}

function write(version: string, rows: readonly Resp[]): void {
  const commands = rows.flatMap(facts).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const lines = commands.map((row) => `    ${JSON.stringify(row)}`).join(',\n');
  const head = `  "server": "redis ${version}",\n  "regenerate": "${command}",`;
  writeFileSync(file, `{\n${head}\n  "commands": [\n${lines}\n  ]\n}\n`);
  console.log(`${commands.length} commands and subcommands of redis ${version}`);
}

/** One row of COMMAND: name, arity, flags, first, last, step, categories, tips, key specs, subcommands. */
function facts(row: Resp): CommandFacts[] {
  const [name, arity, flags, , , , , tips, specs, subcommands] = row as
    [string, number, string[], number, number, number, string[], string[], Resp[], Resp[]];
  const keys = specs.map(keySpec);
  const request = tip(tips, 'request_policy:');
  const response = tip(tips, 'response_policy:');
  const own: CommandFacts = {
    name, arity, flags,
    ...(keys.length > 0 && { keys }),
    ...(request !== undefined && { request }),
    ...(response !== undefined && { response }),
  };
  return [own, ...subcommands.flatMap(facts)];
}

function keySpec(raw: Resp): KeySpec {
  const spec = fields(raw);
  const flags = spec['flags'] as string[];
  const begin = fields(spec['begin_search']!);
  const find = fields(spec['find_keys']!);
  const at = fields(begin['spec']!);
  const how = fields(find['spec']!);
  const marks = {
    ...(flags.includes('not_key') && { channel: true as const }),
    ...(flags.includes('incomplete') && { incomplete: true as const }),
  };
  if (begin['type'] === 'unknown' || find['type'] === 'unknown') return { unknown: true, ...marks };
  const start = begin['type'] === 'keyword'
    ? { keyword: at['keyword'] as string, from: at['startfrom'] as number }
    : { index: at['index'] as number };
  if (find['type'] === 'keynum') {
    return {
      ...start, count: how['keynumidx'] as number, first: how['firstkey'] as number,
      step: how['keystep'] as number, ...marks,
    };
  }
  return {
    ...start, last: how['lastkey'] as number, step: how['keystep'] as number,
    limit: how['limit'] as number, ...marks,
  };
}

function fields(flat: Resp): Record<string, Resp> {
  const list = flat as Resp[];
  const out: Record<string, Resp> = {};
  for (let i = 0; i + 1 < list.length; i += 2) out[list[i] as string] = list[i + 1]!;
  return out;
}

function tip(tips: readonly string[], prefix: string): string | undefined {
  return tips.find((text) => text.startsWith(prefix))?.slice(prefix.length);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function open(port: number): Promise<Socket> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, '127.0.0.1');
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    await sleep(50);
  }
  throw new Error(`redis-server did not listen on ${port} in 5 s`);
}

async function ask(socket: Socket, line: string): Promise<Resp> {
  socket.write(`${line}\r\n`);
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += (chunk as Buffer).toString('latin1');
    const reply = parse(text, 0);
    if (reply !== null) return reply.value;
  }
  throw new Error(`the server closed the connection after ${line}`);
}

function parse(text: string, start: number): { value: Resp; end: number } | null {
  const eol = text.indexOf('\r\n', start);
  if (eol < 0) return null;
  const head = text.slice(start + 1, eol);
  const size = Number(head);
  let end = eol + 2;
  switch (text.charAt(start)) {
    case '+': return { value: head, end };
    case ':': return { value: size, end };
    case '$':
      if (size < 0) return { value: null, end };
      end += size + 2;
      return text.length < end ? null : { value: text.slice(eol + 2, end - 2), end };
    case '*': {
      const list: Resp[] = [];
      for (let i = 0; i < size; i++) {
        const item = parse(text, end);
        if (item === null) return null;
        list.push(item.value);
        end = item.end;
      }
      return { value: list, end };
    }
    default: throw new Error(`unexpected reply: ${text.slice(start, eol)}`);
  }
}

await main();
