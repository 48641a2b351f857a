// A process that writes as fast as it can and says what was acknowledged; killed by the test at any moment.
import { writeSync } from 'node:fs';
import { SqliteStore } from '../../../core/config/sqlite-store.ts';

const [path = '', from = '0'] = process.argv.slice(2);
const store = SqliteStore.open({ path });
writeSync(1, 'open\n');
for (let n = Number(from); ; n++) {
  try {
    await store.put('upstreams', `u${n % 20}`, { n, filler: 'x'.repeat(n % 3000) });
    writeSync(1, `${n}\n`);
  } catch (error) {
    writeSync(1, `failed ${(error as { code?: string }).code} ${store.config.revision} ${(error as Error).message}\n`);
    break;
  }
}
