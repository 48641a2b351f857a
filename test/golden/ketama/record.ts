// Records which server Debian's nutcracker sends a key to, for rings.json. Run again with:
//   apt-get install -y nutcracker && node test/golden/ketama/record.ts
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';

interface Ring {
  readonly hash: string;
  readonly nodes: readonly { readonly address: string; readonly weight: number }[];
}

const equal = [1, 2, 3, 4].map((n) => ({ address: `10.0.0.${n}:6379`, weight: 1 }));
const weighted = [1, 2, 3, 5, 7].map((weight, n) => ({ address: `cache-${n}.local:${6379 + n}`, weight }));
// 29 of 60 is a share of which nutcracker's floats make 57 digests, exact arithmetic 58.
const rounded = [29, 15, 16].map((weight, n) => ({ address: `10.0.1.${n}:7000`, weight }));
const rings: readonly Ring[] = ['fnv1a_64', 'crc32a'].flatMap((hash) =>
  [equal, weighted, rounded].map((nodes) => ({ hash, nodes })));

/** Their crc32a and fnv1a_64 are above every point, so that the ring begins again. */
const last = ['last:215290', 'last:550055', 'last:2904010', 'last:2904011'];

/** 500 keys: counters, addresses, long ones, UTF-8. */
const keys = Array.from({ length: 500 }, (_, n) => {
  if (n >= 496) return last[n - 496]!;
  if (n < 200) return `user:${n}`;
  if (n < 300) return `192.168.${n % 7}.${n}`;
  if (n < 350) return `${'long:'.repeat(n % 50)}${n * 7919}`;
  if (n < 400) return `schlüssel-日本-${n}`;
  return (n * 2_654_435_761).toString(36).slice(-(1 + (n % 8)));
});

const recorded = [];
for (const ring of rings) recorded.push({ ...ring, answers: await record(ring) });
const { stderr } = spawnSync('nutcracker', ['-V'], { encoding: 'utf8' });
const version = stderr.split('\n')[0]?.replace('This is ', '');
const entries = recorded.map((ring) => `    ${JSON.stringify(ring)}`).join(',\n');
const text = `{\n  "recordedFrom": ${JSON.stringify(version)},\n  "keys": ${JSON.stringify(keys)},\n`
  + `  "rings": [\n${entries}\n  ]\n}\n`;
writeFileSync(new URL('rings.json', import.meta.url), text);

/** For each key the index of the node whose fake server got the GET. */
async function record(ring: Ring): Promise<number[]> {
  const servers = await Promise.all(ring.nodes.map((_, index) => answering(String(index))));
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'nutcracker-'));
  const conf = join(dir, 'nutcracker.yml');
  // The name behind the weight stands on the ring in place of the real address.
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  const lines = ring.nodes.map(({ address, weight }, n) => `  - 127.0.0.1:${ports[n]}:${weight} ${address}`);
  writeFileSync(conf, `ring:\n  listen: 127.0.0.1:${port}\n  hash: ${ring.hash}\n  distribution: ketama\n`
    + `  redis: true\n  servers:\n${lines.join('\n')}\n`);
  const args = ['-c', conf, '-s', String(await freePort()), '-a', '127.0.0.1'];
  const child = spawn('nutcracker', args, { stdio: 'ignore' });
  try {
    return await ask(await connected(port));
  } finally {
    child.kill();
    await once(child, 'exit');
    for (const server of servers) server.close();
    rmSync(dir, { recursive: true });
  }
}

/** A server that answers every GET with its own name. */
async function answering(name: string): Promise<Server> {
  const server = createServer((socket) => {
    // One GET is under way at a time; the bytes of a short one come at once.
    socket.on('data', () => socket.write(`$1\r\n${name}\r\n`));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function connected(port: number): Promise<Socket> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error('nutcracker did not listen');
}

/** One at a time, so that every request reaches its server in one piece. */
async function ask(socket: Socket): Promise<number[]> {
  const answers: number[] = [];
  for (const key of keys) {
    socket.write(`*2\r\n$3\r\nGET\r\n$${Buffer.byteLength(key)}\r\n${key}\r\n`);
    const [reply] = (await once(socket, 'data')) as [Buffer];
    const index = /^\$1\r\n(\d)\r\n$/.exec(reply.toString())?.[1];
    if (index === undefined) throw new Error(`unexpected reply for ${key}: ${reply.toString()}`);
    answers.push(Number(index));
  }
  socket.destroy();
  return answers;
}
