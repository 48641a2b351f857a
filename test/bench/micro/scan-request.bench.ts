// What framing one request costs. Aim: 20 to 30 ns for a GET or SET, whatever the length of its value.
import { defaultLimits } from '../../../core/limits.ts';
import { encodeRequest } from '../../../protocols/redis/resp/encode.ts';
import { scanLimits, scanRequest } from '../../../protocols/redis/resp/scan-request.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

const limits = scanLimits(defaultLimits, true);
const perBatch = 100;

await nanoseconds('scan-request', {
  'GET': scanning(encodeRequest(['GET', 'key:000000001234'])),
  'SET of 3 bytes': scanning(encodeRequest(['SET', 'key:000000001234', 'abc'])),
  'SET of 1 KiB': scanning(encodeRequest(['SET', 'key:000000001234', 'x'.repeat(1024)])),
  'MGET of 10 keys': scanning(encodeRequest(['MGET', ...Array.from({ length: 10 }, (_, i) => `key:${i}`)])),
  'GET, inline': scanning(Buffer.from('GET key:000000001234\r\n')),
});

function scanning(request: Buffer): () => number {
  const batch = Buffer.concat(Array.from({ length: perBatch }, () => request));
  return () => {
    let ends = 0;
    for (let round = 0; round < calls / perBatch; round++) {
      for (let at = 0; at < batch.length; ends += at) {
        at = scanRequest(batch, at, batch.length, limits);
        if (at < 0) throw new Error('the request is not scanned as one');
      }
    }
    return ends;
  };
}
