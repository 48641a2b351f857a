// Secrets are looked up before workers get them: each manager within a time, the same ones as the same objects.
import { afterEach, expect, test, vi } from 'vitest';
import type { SecretManager } from '../../../core/config/secret-manager.ts';
import { Secrets } from '../../../core/config/secrets.ts';
import { MemoryStore } from '../../../core/config/memory-store.ts';
import { emptyConfig, type Config } from '../../../core/config/source.ts';
import type { Kind, Value } from '../../../core/config/resource.ts';
import { knownThings } from './references.ts';

afterEach(() => void vi.useRealTimers());

const upstream = (password: string): Value => ({ nodes: { 'a:1': 1 }, auth: { password } });

async function configOf(...values: (readonly [Kind, string, Value])[]): Promise<Config> {
  const store = new MemoryStore();
  await store.write(values.map(([kind, id, value]) => ({ kind, id, value, revision: 0 })));
  return store.config;
}

function secretsWith(managers: Record<string, SecretManager>, environment: Record<string, string> = {}): Secrets {
  return new Secrets({ managers: () => new Map(Object.entries(managers)), environment, references: knownThings() });
}

test('a manager that does not answer in ten seconds holds nothing longer, and what had a secret before keeps it', async () => {
  let slow = false;
  const secrets = secretsWith({ own: { find: () => (slow ? new Promise(() => undefined) : Promise.resolve('found')) } });
  const config = await configOf(['secrets', 'own/x', {}], ['upstreams', 'u', upstream('$secret://own/x/a')]);
  const first = await secrets.resolve(config);
  expect(first.config.resources.upstreams.get('u')?.value).toEqual(upstream('found'));
  vi.useFakeTimers();
  slow = true;
  const late = secrets.resolve(config);
  await vi.advanceTimersByTimeAsync(10_000);
  const second = await late;
  expect(second.rejections.map(({ id, text }) => [id, text])).toEqual([
    ['u', 'auth.password: expected a secret at $secret://own/x/a, got no answer within 10 s']]);
  expect(second.config.resources.upstreams).toBe(first.config.resources.upstreams);
  expect(vi.getTimerCount()).toBe(0);
});

test('settings of a manager may name variables of the environment, but Millrace\'s own and secrets of other managers they may not', async () => {
  const asked: Value[] = [];
  const secrets = secretsWith({ own: { find: (conf) => (asked.push(conf), 'found') } }, { TOKEN: 'of the environment', MILLRACE_ADMIN_KEY: 'never' });
  const look = async (token: string): Promise<readonly string[]> => {
    const config = await configOf(['secrets', 'own/x', { nested: [{ token }] }], ['upstreams', 'u', upstream('$secret://own/x/a')]);
    return (await secrets.resolve(config)).rejections.map(({ text }) => text);
  };
  expect(await look('$env://TOKEN')).toEqual([]);
  expect(asked).toEqual([{ nested: [{ token: 'of the environment' }] }]);
  for (const token of ['$env://MILLRACE_ADMIN_KEY', '$env://NOBODY', '$secret://own/x/b', '$env://']) {
    expect(await look(token)).toEqual([
      `auth.password: expected a secret at $secret://own/x/a, got nothing at ${token}, which nested.0.token of the manager names`]);
  }
  expect(asked).toHaveLength(1);
});

test('nothing is asked for what names no secret', async () => {
  const secrets = secretsWith({});
  const config = await configOf(['upstreams', 'u', upstream('in the open')]);
  expect((await secrets.resolve(config)).config.resources).toEqual(config.resources);
  expect((await secrets.resolve(emptyConfig())).rejections).toEqual([]);
});
