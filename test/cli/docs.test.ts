// The pages about the command line and the Admin API as a reader follows them, and whether they name all that there is.
import { Command } from 'commander';
import { expect, test, vi } from 'vitest';
import { meanings } from '../../core/cli/exit-codes.ts';
import { build } from '../../core/cli/program.ts';
import { overrides } from '../../core/settings-overrides.ts';
import { blocksOf, readPage } from '../docs/page.ts';
import { Reader } from '../docs/reader.ts';
import { startProxy } from '../support/proxy.ts';

vi.setConfig({ testTimeout: 60_000 });

const cli = readPage('docs/cli.md');
const adminApi = readPage('docs/admin-api.md');
const bash = (page: string) => blocksOf(page).filter(({ language }) => language === 'bash');

test('the exit codes of docs/cli.md are those of the command', () => {
  const rows = [...cli.matchAll(/^\| (\d) \| (.*) \|$/gm)].map(([, code, meaning]) => [code, meaning]);
  expect(rows).toEqual(Object.entries(meanings));
});

test('docs/cli.md has a section for each command, with all of its options', () => {
  const commands = build(() => undefined).commands;
  const headings = [...cli.matchAll(/^## ([a-z]+)$/gm)].map(([, name]) => name);
  expect(headings).toEqual(commands.map((each) => each.name()));
  const options = (command: Command): string[] =>
    [...command.options.map(({ long, short }) => short ?? long!), ...command.commands.flatMap(options)];
  for (const command of commands) {
    const section = new RegExp(`^## ${command.name()}\n(.*?)(?=^## )`, 'ms').exec(cli)![1]!;
    expect([command.name(), options(command).filter((option) => !section.includes(option))]).toEqual([command.name(), []]);
  }
});

test('docs/configuration.md names each environment variable that wins over the file', () => {
  const page = readPage('docs/configuration.md');
  expect(Object.keys(overrides).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

test('what docs/cli.md shows can be pasted and seen', async () => {
  await using reader = await Reader.open();
  const [first, ...others] = bash(cli);
  await reader.follow(first!);
  await reader.start();
  expect(await reader.followAll(others)).toBe(5);
});

test('what docs/admin-api.md shows can be pasted and seen', async () => {
  await using reader = await Reader.open();
  await reader.start();
  expect(await reader.followAll(bash(adminApi))).toBe(8);
  const [changes, difference, back] = (await reader.run(bash(adminApi).find(({ code }) => code.includes('/diff'))!.code))
    .trim().split(/\n+/).map((line) => JSON.parse(line));
  expect([changes.list.length, difference.list.length, back.affected_routes]).toEqual([3, 2, [{ id: '1', sessions: 0 }]]);
});

test('docs/admin-api.md names every path of the OpenAPI document', async () => {
  await using proxy = await startProxy();
  const { body } = await proxy.call('GET', '/apisix/admin/openapi.json');
  // Of a resource: its kind stands in the table, and what comes behind it in those below.
  // That one only says that an id is missing.
  const paths = Object.keys(body.paths).filter((path) => path !== '/v1/healthcheck/{type}').map((path) => path.replace('/apisix/admin/', '').replaceAll(/\{\w+\}/g, '<>'));
  const page = adminApi.replaceAll(/<\w+>/g, '<>');
  const kinds = [...page.matchAll(/^\| `([\w/<>]+)` \| .* \| [A-Z ]+ \|$/gm)].map(([, kind]) => kind!);
  const spans = [...page.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!);
  const missing = paths.filter((path) => !spans.some((span) => span.split(/[ ?]/).includes(path))
    && !kinds.some((kind) => [kind, `${kind}/<>`, `${kind}/<>/<>`, `${kind}/<>/history`].includes(path)));
  expect([kinds.length, missing]).toEqual([10, []]);
});
