// The table of commands in docs/redis.md, made from the overrides. `node test/docs/treatments.ts` writes it into the
// page, a test compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { overrides, type Treatment } from '../../protocols/redis/commands/overrides.ts';

export const redisPage = 'docs/redis.md';

const headings: readonly (readonly [Treatment, string])[] = [
  ['session', 'Answered by Millrace, per client'],
  ['transaction', 'A connection of its own until the transaction ends'],
  ['blocking', 'A connection of its own while it waits'],
  ['subscription', 'A connection of its own while subscribed'],
  ['monitor', 'A connection of its own from then on'],
  ['stateful', 'A connection of its own from then on'],
  ['harmful', 'Refused, unless `allow_commands` names it'],
  ['replication', 'Always refused'],
];

export function treatmentTable(): string {
  const rows = headings.flatMap(([treatment, heading]) => overrides.filter(([, each]) => each === treatment)
    .map(([names, , reason]) => `| ${shown(names)} | ${heading} | ${sentence(reason)} |`));
  return ['| Commands | Treatment | Why |', '|---|---|---|', ...rows, ''].join('\n');
}

export function withTreatments(page: string): string {
  return page.replace(/(<!-- treatments -->\n).*?(<!-- end -->)/s, (_whole, open: string, end: string) =>
    `${open}${treatmentTable()}${end}`);
}

/** `client|kill` as people type it; a container's unknown subcommands as `CLIENT …`. */
function shown(names: string): string {
  return names.split(/\s+/).map((name) => `\`${name.endsWith('|') ? `${name.slice(0, -1).toUpperCase()} …`
    : name.replace('|', ' ').toUpperCase()}\``).join(', ');
}

function sentence(reason: string): string {
  return `${reason[0]!.toUpperCase()}${reason.slice(1)}.`.replaceAll('|', '\\|');
}

if (import.meta.main) writeFileSync(redisPage, withTreatments(readFileSync(redisPage, 'utf8')));
