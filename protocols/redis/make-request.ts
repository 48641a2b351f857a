import type { Plan } from '../../core/plan.ts';
import { blocks } from './commands/blocking.ts';
import * as table from './commands/table.ts';
import { lookupSubcommand, subcommandTreatment } from './commands/table.ts';
import { RedisRequest } from './request.ts';
import { found } from './resp/scan-request.ts';
import type { RedisSession } from './session.ts';

/**
 * The request that was framed last (`found` has its parts) at [start, end) of `bytes`, with the treatment that its
 * arguments ask for.
 */
export function makeRequest(
  session: RedisSession, plan: Plan, bytes: Buffer, start: number, end: number, id: number, treatment: number,
): RedisRequest {
  let decided = treatment;
  let number = id;
  if (treatment === table.CONTAINER) {
    number = subcommand(bytes, id);
    decided = subcommandTreatment(id, number);
    if (number === table.UNKNOWN) number = id;
  }
  const request = new RedisRequest(
    session, plan, session.engine.clock.now(), bytes, start, end, found.count, found.nameStart, found.nameEnd, number);
  if (decided === table.MAY_BLOCK) {
    decided = blocks(request.command, request.count, (i) => request.argument(i)) ? table.BLOCKING : table.SHARED;
  }
  if (decided === table.SESSION && modes.has(request.name)) decided = table.STATEFUL;
  request.treatment = decided;
  return request;
}

/** Modes of one connection that the door does not emulate. */
const modes = new Set(['asking', 'readonly', 'readwrite']);

function subcommand(bytes: Buffer, container: number): number {
  if (found.count < 2) return table.UNKNOWN;
  // $n CRLF of the second argument begins behind the name's line end.
  const at = bytes.indexOf(10, found.nameEnd + 2) + 1;
  const end = bytes.indexOf(13, at);
  return at > 0 && end > at ? lookupSubcommand(container, bytes, at, end) : table.UNKNOWN;
}
