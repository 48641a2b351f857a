import { afterEach, describe, expect, test, vi } from 'vitest';
import plugin from '../../plugins/fault-injection.ts';
import { compileGlob } from '../../core/glob.ts';
import type { Hooks } from '../../core/plugin.ts';
import { cpuTime } from '../support/cpu-time.ts';
import { LineRequest, lineSession } from '../support/line-request.ts';
import { problemsOf, setUp, testContext } from '../support/plugin-context.ts';

/** The text that a request is answered with, null when it passes. */
async function answer(hooks: Hooks, line: string, request = new LineRequest(line)): Promise<string | null> {
  await hooks.request!(request);
  return request.refusal === null ? null : `${request.refusal.code}: ${request.refusal.message}`;
}

async function hitLines(hooks: Hooks, count: number): Promise<number[]> {
  const hit: number[] = [];
  for (let i = 0; i < count; i++) if ((await answer(hooks, 'get a')) !== null) hit.push(i);
  return hit;
}

describe('abort', () => {
  test('answers with the text, in which variables are filled in', async () => {
    const hooks = setUp(plugin, { abort: { error: 'no $command for $key' } });
    expect(await answer(hooks, 'GET a')).toBe('FAULT_INJECTED: no get for a');
  });

  test('takes what was written for HTTP', async () => {
    expect(await answer(setUp(plugin, { abort: { http_status: 503, body: 'busy' } }), 'get a')).toBe('FAULT_INJECTED: busy');
    expect(await answer(setUp(plugin, { abort: { http_status: 503 } }), 'get a')).toBe('FAULT_INJECTED: fault injected');
  });

  test('closes the connection, with a last word or without', async () => {
    for (const [abort, text] of [[{ close: true }, ''], [{ close: true, error: 'bye' }, 'bye']] as const) {
      const request = new LineRequest('get a');
      await setUp(plugin, { abort }).request!(request);
      expect(request.refusal).toMatchObject({ close: true, message: text });
    }
  });

  test('leaves a synchronous hook synchronous', () => {
    const request = new LineRequest('get a');
    expect(setUp(plugin, { abort: { error: 'x' }, commands: ['set'] }).request!(request)).toBeUndefined();
    expect(request.settled).toBe(false);
    expect(setUp(plugin, { abort: { error: 'x' } }).request!(request)).toBeUndefined();
    expect(request.settled).toBe(true);
  });
});

describe('delay', () => {
  afterEach(() => { vi.useRealTimers(); });

  test.each([
    [10, 0.01], [20, { min: 0.01, max: 0.02 }],
  ])('holds the request at least 10 ms and at most %i ms, as asked, then lets it pass', async (most, duration) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
    for (let i = 0; i < 50; i++) {
      const request = new LineRequest('get a');
      let passed = false;
      void (setUp(plugin, { delay: { duration } }).request!(request) as Promise<void>).then(() => { passed = true; });
      await vi.advanceTimersByTimeAsync(9);
      expect(passed).toBe(false);
      await vi.advanceTimersByTimeAsync(most - 9);
      expect([passed, request.settled]).toEqual([true, false]);
    }
  });

  test('comes before the abort', async () => {
    const request = new LineRequest('get a');
    const before = performance.now();
    const waiting = setUp(plugin, { delay: { duration: 0.02 }, abort: { error: 'x' } }).request!(request);
    expect(request.settled).toBe(false);
    await waiting;
    expect(performance.now() - before).toBeGreaterThanOrEqual(20);
    expect(request.refusal?.message).toBe('x');
  });

  test('tells the proxy how long it may wait', () => {
    expect(setUp(plugin, { delay: { duration: { min: 1, max: 90 } } }).maxWait).toBe(91_000);
    expect(setUp(plugin, { abort: { error: 'x' } }).maxWait).toBeUndefined();
  });
});

describe('which requests', () => {
  test('commands in any case', async () => {
    const hooks = setUp(plugin, { abort: { error: 'x' }, commands: ['GET', 'hSet'] });
    const hit = await Promise.all(['get a', 'GET a', 'hset a', 'set a'].map((line) => answer(hooks, line)));
    expect(hit.map((text) => text !== null)).toEqual([true, true, true, false]);
  });

  test('one key of many is enough, and a request without keys is not meant', async () => {
    const hooks = setUp(plugin, { abort: { error: 'x' }, keys: ['user:*', 'a?c'] });
    const hit = await Promise.all(['get user:1', 'mget b abc', 'get b', 'ping'].map((line) => answer(hooks, line)));
    expect(hit.map((text) => text !== null)).toEqual([true, true, false, false]);
  });

  test('one expression of vars is enough', async () => {
    const vars = [[['command', '==', 'get'], ['key', '==', 'a']], [['remote_addr', '==', '10.0.0.9']]];
    const hooks = setUp(plugin, { abort: { error: 'x', vars } });
    expect(await answer(hooks, 'get a')).not.toBeNull();
    expect(await answer(hooks, 'get b')).toBeNull();
    const other = new LineRequest('get b', lineSession({ remoteAddress: '10.0.0.9' }));
    expect(await answer(hooks, '', other)).not.toBeNull();
  });

  test('a percentage of them, the same ones for the same seed', async () => {
    const conf = { abort: { error: 'x', percentage: 25 }, seed: 42 };
    const first = await hitLines(setUp(plugin, conf), 2000);
    expect(first.length).toBeGreaterThan(420);
    expect(first.length).toBeLessThan(580);
    expect(await hitLines(setUp(plugin, conf), 2000)).toEqual(first);
    expect(await hitLines(setUp(plugin, { ...conf, seed: 43 }), 2000)).not.toEqual(first);
    expect(await hitLines(setUp(plugin, { abort: { error: 'x', percentage: 0 } }), 100)).toEqual([]);
  });

  test('between start and end, or for a time', async () => {
    const context = testContext();
    const at = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();
    const timed = setUp(plugin, { abort: { error: 'x' }, start: at(10), end: at(20) }, context);
    const short = setUp(plugin, { abort: { error: 'x' }, for: 12 }, context);
    const seen: string[] = [];
    for (let i = 0; i < 5; i++) {
      seen.push(`${i * 5} ${(await answer(timed, 'get a')) !== null} ${(await answer(short, 'get a')) !== null}`);
      if (i === 2) context.advance(100);
      context.advance(5000);
    }
    expect(seen).toEqual(['0 false true', '5 false true', '10 true true', '15 true false', '20 false false']);
    expect(timed.status!()).toMatchObject({ active: false, aborted: 2, ends_in: 0 });
  });

  test('a number of hits, counted over all workers, and again when it is configured anew', async () => {
    const context = testContext();
    const conf = { abort: { error: 'x' }, hits: 3 };
    const workers = [setUp(plugin, conf, context), setUp(plugin, conf, context)];
    expect(workers[0]!.status!()).toMatchObject({ active: true, hits_left: 3 });
    const hit: boolean[] = [];
    for (let i = 0; i < 6; i++) hit.push((await answer(workers[i % 2]!, 'get a')) !== null);
    expect(hit).toEqual([true, true, true, false, false, false]);
    expect(workers[0]!.status!()).toEqual({ active: false, delayed: 0, aborted: 2, hits_left: 0 });
    expect(context.counted['fault_injection_aborts_total']).toBe(3);
    for (const worker of workers) await worker.close!();
    expect(await answer(setUp(plugin, conf, context), 'get a')).not.toBeNull();
  });
});

describe('what is refused when it is written', () => {
  test.each<[unknown, string]>([
    [{}, 'expected abort, delay or both, got neither'],
    [{ abort: {} }, 'abort: expected error or close: true'],
    [{ abort: { error: 'a', body: 'b' } }, 'abort: expected error or body, got both'],
    [{ abort: { error: '${a b}' } }, 'abort: variable: expected letters, digits and _, got "a b"'],
    [{ delay: { duration: { min: 2, max: 1 } } }, 'delay.duration: expected min <= max, got 2 > 1'],
    [{ delay: { duration: 1, vars: [[{}]] } },
      'delay.vars[0][0]: rule too short: expected [variable, operator, value], got {}'],
    [{ delay: { duration: 1, vars: [[['rpc_time', '>', 1]]] } },
      'delay.vars[0]: expected variables that are known before the answer'],
    [{ delay: { duration: 1 }, start: 'noon' }, 'start: expected a time such as 2030-01-31T12:00:00Z, got "noon"'],
    [{ delay: { duration: 1 }, start: '2030-01-02', end: '2030-01-01' }, 'end: expected a time after start'],
  ])('%j', (conf, message) => {
    expect(problemsOf(plugin, conf)).toEqual([message]);
  });

  test.each([
    { delay: {} }, { delay: { duration: -1 } }, { abort: { error: 'x', percentage: 101 } }, { delay: { duration: 'x' } },
    { abort: { error: 'x' }, commands: [] }, { abort: { error: 'x' }, hits: 0 }, { abort: { error: 'x' }, more: 1 },
  ])('%j by the schema', (conf) => {
    expect(problemsOf(plugin, conf)).toHaveLength(1);
  });
});

test.each<[string, string, boolean]>([
  ['*', '', true], ['a*', 'abc', true], ['a*', 'bac', false], ['*c', 'abc', true], ['a*c*e', 'abcde', true],
  ['a?c', 'abc', true], ['a?c', 'ac', false], ['[ab]c', 'bc', true], ['[^ab]c', 'bc', false], ['[a-c]x', 'bx', true],
  ['[c-a]x', 'bx', true], ['\\*', '*', true], ['\\*', 'a', false], ['[\\]]', ']', true], ['[a', 'a', true], ['', '', true],
  ['', 'a', false], ['h[^e]llo', 'hallo', true], ['**a', 'xa', true], ['ä*', 'äb', true], ['a\\', 'a\\', true],
])('glob %j against %j: %s', (pattern, text, expected) => {
  expect(compileGlob(pattern)(Buffer.from(text))).toBe(expected);
});

test('a hostile glob pattern does not take for ever', () => {
  const matches = compileGlob(`${'a*'.repeat(200)}b`);
  expect(cpuTime(() => expect(matches(Buffer.alloc(20_000, 'a'))).toBe(false))).toBeLessThan(2000);
});
