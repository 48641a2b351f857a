// All commands by name. Rows live with what they run, one file per type of data.
import { bits } from './commands/bits.ts';
import { blockingPops, wait } from './commands/blocking-pops.ts';
import { connections } from './commands/connections.ts';
import { expiry } from './commands/expiry.ts';
import { hashes } from './commands/hashes.ts';
import { keys } from './commands/keys.ts';
import { lists } from './commands/lists.ts';
import { pubsub } from './commands/pubsub.ts';
import { scan } from './commands/scan.ts';
import { server } from './commands/server.ts';
import { sets } from './commands/sets.ts';
import { sortedSetAlgebra } from './commands/sorted-set-algebra.ts';
import { sortedSetPops } from './commands/sorted-set-pops.ts';
import { sortedSetRanges } from './commands/sorted-set-ranges.ts';
import { sortedSets } from './commands/sorted-sets.ts';
import { strings } from './commands/strings.ts';
import { transactions } from './commands/transactions.ts';
import type { Command } from './command.ts';

const rows: readonly Command[] = [
  ...strings, ...bits, ...keys, ...expiry, ...scan, ...hashes, ...lists, ...sets,
  ...sortedSets, ...sortedSetRanges, ...sortedSetPops, ...sortedSetAlgebra,
  ...blockingPops, wait, ...pubsub, ...transactions, ...connections, ...server,
];

export const commands: ReadonlyMap<string, Command> = new Map(rows.map((row) => [row.name, row]));
