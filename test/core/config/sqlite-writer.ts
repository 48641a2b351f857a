// A process that writes as fast as it can and says what was acknowledged; killed by the test at any moment.
import { writeSync } from 'node:fs';
import { SqliteStore } from '../../../core/config/sqlite-store.ts';

const [path = '', from = '0'] = process.argv.slice(2);
const store = SqliteStore.open({ path });
writeSync(1, 'open\n');
for (let n = Number(from); ; n++) {
  try {
    const value = { n, filler: 'x'.repeat(n % 3000) };
    // Several at once, one of them with an end; the route of the write before goes.
    await store.write([
      { kind: 'upstreams', id: `u${n % 20}`, value },
      { kind: 'services', id: 'last', value: { n }, expiresAt: 4_000_000_000 + n },
      { kind: 'stream_routes', id: `r${n}`, value: { n } }, { kind: 'stream_routes', id: `r${n - 1}`, value: null },
    ], { id: `a${n}`, time: 0, who: 'admin', address: '', method: 'PUT', path: '', outcome: 'done', changes: [] });
    writeSync(1, `${n}\n`);
  } catch (error) {
    writeSync(1, `failed ${(error as { code?: string }).code} ${store.config.revision} ${(error as Error).message}\n`);
    break;
  }
}
