// A connection that begins or ended, read through the same variables as a request.
import type { Request } from './request.ts';
import type { Session } from './session.ts';

/**
 * `rpc_time` is how long it lasted, `bytes_out` what was written to the client, `reason` why it ended; what
 * only requests have reads as empty.
 */
export function connectionRequest(session: Session, reason: string, now: number): Request {
  const facts = {
    session, name: '', keyCount: 0, key: () => Buffer.alloc(0), upstreamAddress: '',
    startedAt: session.openedAt, endedAt: now, bytesIn: 0, bytesOut: session.connection.outbox.total,
    outcome: { bytes: 0, isError: false },
    variable: (name: string) => (name === 'reason' ? reason.toLowerCase() : undefined),
  };
  // Formats and filters read nothing else of a request.
  return facts as unknown as Request;
}
