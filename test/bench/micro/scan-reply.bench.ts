// What finding the end of one reply costs. Aim: 5 ns for a short one.
import { defaultLimits } from '../../../core/limits.ts';
import { DONE, ReplyScanner } from '../../../protocols/redis/resp/scan-reply.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

const perBatch = 100;

await nanoseconds('scan-reply', {
  '+OK': scanning('+OK\r\n'),
  'an integer': scanning(':1234\r\n'),
  'a value of 3 bytes': scanning('$3\r\nabc\r\n'),
  'a value of 1 KiB': scanning(`$1024\r\n${'x'.repeat(1024)}\r\n`),
  'an array of 10 values': scanning(`*10\r\n${'$3\r\nabc\r\n'.repeat(10)}`),
  'a map of 5 pairs (RESP3)': scanning(`%5\r\n${'$1\r\na\r\n:1\r\n'.repeat(5)}`),
});

function scanning(reply: string): () => number {
  const batch = Buffer.from(reply.repeat(perBatch));
  const scanner = new ReplyScanner(defaultLimits.replyNesting);
  return () => {
    let ends = 0;
    for (let round = 0; round < calls / perBatch; round++) {
      for (let at = 0; at < batch.length; ends += at) {
        at = scanner.scan(batch, at, batch.length);
        if (scanner.outcome !== DONE) throw new Error('the reply is not scanned as one');
      }
    }
    return ends;
  };
}
