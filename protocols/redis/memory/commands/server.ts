import { CommandError } from '../command-error.ts';
import { command, container } from '../command.ts';
import { commands } from '../command-table.ts';
import { globMatches } from '../glob.ts';
import { help } from '../help.ts';
import { describeServer } from '../server-info.ts';
import type { Call, Command } from '../command.ts';
import type { ReplyWriter } from '../reply-writer.ts';

const ANY_TIME = 'loading stale';

/** What clients and tools ask for; values are those of an unconfigured Redis without persistence. */
const configuration: Readonly<Record<string, string>> = {
  appendonly: 'no', databases: '16', 'lua-time-limit': '5000', maxclients: '10000', maxmemory: '0',
  'maxmemory-policy': 'noeviction', 'notify-keyspace-events': '', 'proto-max-bulk-len': '536870912',
  requirepass: '', save: '', timeout: '0',
};

export const server: readonly Command[] = [
  {
    ...container('command', [
      command('command|count', 2, ANY_TIME, [0, 0, 0], (call) => call.reply.integer(commands.size)),
      command('command|docs', -2, ANY_TIME, [0, 0, 0], commandDocs),
      command('command|help', 2, ANY_TIME, [0, 0, 0], help('COMMAND', [
        'COUNT', '    Return the total number of commands in this server.',
        'DOCS [<command-name> ...]', '    Return names and groups of commands.',
        'INFO [<command-name> ...]', '    Return details about commands.',
        'LIST', '    Return the names of all commands.',
      ])),
      command('command|info', -2, ANY_TIME, [0, 0, 0], commandInfo),
      command('command|list', -2, ANY_TIME, [0, 0, 0], (call) => {
        if (call.count > 2) throw CommandError.syntax();
        call.reply.bulks([...commands.keys()]);
      }),
    ]),
    arity: -1,
    flags: ANY_TIME.split(' '),
    run: ({ reply }: Call) => {
      reply.array(commands.size);
      for (const row of commands.values()) describeCommand(reply, row);
    },
  },
  container('config', [
    command('config|get', -3, 'admin noscript loading stale', [0, 0, 0], configGet),
    command('config|resetstat', 2, 'admin noscript loading stale', [0, 0, 0], (call) => call.reply.ok()),
  ]),
  command('info', -1, ANY_TIME, [0, 0, 0], (call) =>
    call.reply.verbatim(describeServer(call.engine, call.texts(1)))),
  command('time', 1, 'loading stale fast', [0, 0, 0], (call) => {
    const now = call.engine.now();
    call.reply.bulks([String(Math.floor(now / 1000)), String(Math.floor((now % 1000) * 1000))]);
  }),
];

function configGet(call: Call): void {
  const found = new Map<string, string>();
  for (const asked of call.texts(2)) {
    const pattern = asked.toLowerCase();
    const isGlob = /[*?[]/.test(pattern);
    for (const [name, value] of Object.entries(configuration)) {
      // A plain name comes back as it was written.
      if (globMatches(pattern, name)) found.set(isGlob ? name : asked, value);
    }
  }
  call.reply.map(found.size);
  for (const [name, value] of found) {
    call.reply.bulk(name);
    call.reply.bulk(value);
  }
}

function commandInfo(call: Call): void {
  const names = call.count > 2 ? call.texts(2) : [...commands.keys()];
  call.reply.array(names.length);
  for (const name of names) {
    const row = lookUp(name);
    if (row === undefined) call.reply.nil();
    else describeCommand(call.reply, row);
  }
}

function lookUp(name: string): Command | undefined {
  const [first = '', second] = name.toLowerCase().split('|');
  const row = commands.get(first);
  return second === undefined ? row : row?.subcommands?.get(second);
}

/** Ten fields; ACL categories, tips and key specifications are left empty. */
function describeCommand(reply: ReplyWriter, { name, arity, flags, keys, subcommands }: Command): void {
  reply.array(10);
  reply.bulk(name);
  reply.integer(arity);
  reply.set(flags.length);
  for (const flag of flags) reply.simple(flag);
  for (const place of keys) reply.integer(place);
  reply.set(0);
  reply.array(0);
  reply.array(0);
  reply.array(subcommands?.size ?? 0);
  for (const row of subcommands?.values() ?? []) describeCommand(reply, row);
}

function commandDocs(call: Call): void {
  const names = call.count > 2 ? call.texts(2) : [...commands.keys()];
  const rows = names.map(lookUp).filter((row) => row !== undefined);
  call.reply.map(rows.length);
  for (const { name } of rows) {
    call.reply.bulk(name);
    call.reply.map(1);
    call.reply.bulk('summary');
    call.reply.bulk(`See the documentation of ${name.replace('|', ' ').toUpperCase()}.`);
  }
}
