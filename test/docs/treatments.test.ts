import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { overrides } from '../../protocols/redis/commands/overrides.ts';
import { redisPage, treatmentTable, withTreatments } from './treatments.ts';

test('the table of docs/redis.md is that of the overrides (node test/docs/treatments.ts writes it)', () => {
  const page = readFileSync(redisPage, 'utf8');
  expect(page).toContain('<!-- treatments -->\n| Commands |');
  expect(page).toBe(withTreatments(page));
});

test('every override has a row', () => {
  expect(treatmentTable().trim().split('\n')).toHaveLength(overrides.length + 2);
});
