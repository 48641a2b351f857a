import type { ReplyWriter } from './reply-writer.ts';
import type { Scored } from './sorted-set.ts';

/** Members with or without scores: pairs are arrays of their own in RESP3, flat in RESP2. */
export function replyScored(reply: ReplyWriter, entries: readonly Scored[], withScores: boolean): void {
  const nested = withScores && reply.resp === 3;
  reply.array(withScores && !nested ? entries.length * 2 : entries.length);
  for (const { member, score } of entries) {
    if (nested) reply.array(2);
    reply.bulk(member);
    if (withScores) reply.double(score);
  }
}
