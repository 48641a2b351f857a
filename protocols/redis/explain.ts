// What would become of a command, for whoever asks: nothing is sent.
import type { OperationExplained } from '../../core/protocol.ts';
import type { Upstream } from '../../core/upstream/upstream.ts';
import type { Limits } from '../../core/limits.ts';
import type { RedisBackend } from './backend.ts';
import * as table from './commands/table.ts';
import { faultFor } from './faults.ts';
import { makeRequest } from './make-request.ts';
import { refusal } from './refusal.ts';
import type { RedisRequest } from './request.ts';
import { encodeRequest, printable } from './resp/encode.ts';
import { found, scanLimits, scanRequest } from './resp/scan-request.ts';
import type { RedisSession } from './session.ts';

const treatments: Readonly<Record<number, string>> = {
  [table.SHARED]: 'travels on a connection that clients share',
  [table.BLOCKING]: 'has a connection of its own while it waits',
  [table.TRANSACTION]: 'has a connection of its own until the transaction ends',
  [table.SUBSCRIPTION]: 'has a connection of its own while it is subscribed',
  [table.MONITOR]: 'has a connection of its own from then on',
  [table.SESSION]: 'is answered by Millrace',
  [table.STATEFUL]: 'has a connection of its own from then on',
  [table.HARMFUL]: 'would harm other clients',
  [table.REPLICATION]: 'is never passed on',
};

/** `words`: the command and its arguments; at least one. */
export function explainCommand(words: readonly string[], backend: RedisBackend, limits: Limits): OperationExplained {
  const request = requestOf(words, limits);
  const refused = refusal(request, backend)?.message ?? null;
  const fault = faultFor(backend.conf, request);
  const shared = request.treatment === table.SHARED && !backend.dedicated;
  const { rule, others } = backend.subordinates?.explain(request, shared) ?? { rule: null, others: [] };
  const chosen = rule?.backend ?? backend;
  return {
    operation: request.name,
    keys: Array.from({ length: request.keyCount }, (_, i) => printable(request.key(i).toString())),
    treatment: backend.dedicated && shared ? 'travels on the client\'s own connection' : treatments[request.treatment]!,
    refused,
    faults: fault === null ? [] : [fault],
    route: chosen.route,
    nodes: nodesOf(chosen.upstream),
    others,
  };
}

function nodesOf(upstream: Upstream | null): OperationExplained['nodes'] {
  return upstream?.choices ?? [];
}

function requestOf(words: readonly string[], limits: Limits): RedisRequest {
  const bytes = encodeRequest(words);
  scanRequest(bytes, 0, bytes.length, scanLimits(limits, true));
  const id = table.lookup(bytes, found.nameStart, found.nameEnd);
  // Nobody sends it, so there is no session: only its words are asked for.
  const nobody = { engine: { clock: { now: () => 0 } } } as unknown as RedisSession;
  return makeRequest(nobody, null as never, bytes, 0, bytes.length, id, table.treatments[id]!);
}
