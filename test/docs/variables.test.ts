// The table of variables, compared with what the code knows.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { commonVariableNames } from '../../core/variables.ts';
import { readPage, rowsOf } from './page.ts';

const named = rowsOf(readPage('docs/plugins/logger.md'), 'Variable', 'Meaning')
  .flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!));

/** Those of one protocol or of TLS connections, as the function that answers for them has them. */
function answeredIn(file: string): string[] {
  const body = /\n(?: {2}override variable|export function tlsVariable)\(.*?\n( {2})?\}\n/s.exec(readFileSync(file, 'utf8'))![0];
  return [...body.matchAll(/(?:case|name ===) '(\w+)'/g)].map(([, name]) => name!);
}

test('the page of the logger lists every variable, and no other', () => {
  const known = [
    ...commonVariableNames,
    ...['protocols/redis/request.ts', 'protocols/redis/session.ts', 'core/tls/variable.ts'].flatMap(answeredIn),
    // Of the plugin `request-id`, and of records per connection.
    'request_id', 'reason',
  ];
  expect(named.toSorted()).toEqual(known.toSorted());
});
