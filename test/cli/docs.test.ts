import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { meanings } from '../../core/cli/exit-codes.ts';
import { freePort } from '../support/ports.ts';
import { Place } from './millrace.ts';

vi.setConfig({ testTimeout: 60_000 });

const bash = promisify(execFile);
const page = (name: string): string => readFileSync(`docs/${name}.md`, 'utf8');
const blocks = (text: string): string[] =>
  [...text.matchAll(/^```bash\n(.*?)^```/gms)].map(([, code]) => code!);

test('the exit codes of docs/cli.md are those of the command', () => {
  const rows = [...page('cli').matchAll(/^\| (\d) \| (.*) \|$/gm)].map(([, code, meaning]) => [code, meaning]);
  expect(rows).toEqual(Object.entries(meanings));
});

test('what docs/admin-api.md shows can be pasted, and its error is answered as it says', async () => {
  using place = new Place();
  const [port, admin] = [await freePort(), await freePort()];
  place.write('millrace.yaml',
    `listeners: [{ port: ${port}, protocol: redis }]\nadmin: { port: ${admin} }\nworkers: 2\n`);
  await using running = place.start(['start']);
  await running.started();
  const text = page('admin-api');
  const [first = '', together = '', history = '', wrong = ''] = blocks(text).filter((code) => code.includes('http://127.0.0.1:9180'))
    .map((code) => code.replaceAll('9180', String(admin)).replaceAll('9101', String(port)));
  const run = async (code: string): Promise<string> =>
    (await bash('bash', ['-euc', code.replaceAll('curl', 'echo; curl -sS')], { cwd: place.path })).stdout.trim();
  const [put, list] = (await run(first)).split(/\n+/).map((line) => JSON.parse(line) as any);
  expect(put).toMatchObject({ key: '/apisix/stream_routes/1', value: { server_port: port } });
  expect(list).toMatchObject({ total: 1, list: [{ key: '/apisix/stream_routes/1' }] });
  const pings = `for i in 1 2 3; do redis-cli -p ${port} ping; done`;
  expect((await bash('bash', ['-c', pings])).stdout).toMatch(/^PONG\nPONG\n(?!PONG)/);
  const key = first.split('\n')[0]!;
  const shown = /^```json\n(.*?)^```/ms.exec(text)?.[1] ?? '';
  expect(JSON.parse(await run(`${key}\n${together}`))).toEqual({
    revision: 2,
    changes: [{ key: '/apisix/upstreams/cache', outcome: 'created' }, { key: '/apisix/stream_routes/1', outcome: 'replaced' }],
  });
  const [changes, diff, back] = (await run(`${key}\n${history}`)).split(/\n+/).map((line) => JSON.parse(line) as any);
  expect([changes.list.length, diff.list.length, back.affected_routes]).toEqual([3, 2, [{ id: '1', sessions: 0 }]]);
  expect(JSON.parse(await run(`${key}\n${wrong}`))).toEqual(JSON.parse(shown));
});

test('what docs/cli.md begins with can be pasted', async () => {
  using place = new Place();
  const commands = blocks(page('cli'))[0]!.split('\n').filter((line) => line !== 'millrace start').join('\n');
  const command = `millrace() { ${process.execPath} ${resolve('core/main.ts')} "$@"; }\n${commands}`;
  const { stdout } = await bash('bash', ['-euc', command], { cwd: place.path });
  expect(stdout.trimEnd()).toMatch(/ok$/);
});
