// redis-cli and redis-benchmark, as people type them.
import { spawn, type ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runProgram } from '../support/run-program.ts';
import { sleep } from '../support/sleep.ts';
import { allKinds, realKinds, startStage, type Stage } from './upstream-kinds.ts';

describe.each(allKinds)('redis-cli on %s', (kind) => {
  let stage: Stage;
  beforeAll(async () => { stage = await startStage(kind); });
  afterAll(() => stage[Symbol.asyncDispose]());

  const cli = (args: readonly string[], input = '') =>
    runProgram('redis-cli', ['-p', String(stage.port), ...args], { input });

  test('a command on the command line is answered', async () => {
    expect((await cli(['SET', 'cli:a', 'one'])).stdout).toBe('OK\n');
    expect((await cli(['GET', 'cli:a'])).stdout).toBe('one\n');
    expect((await cli(['-3', 'GET', 'cli:a'])).stdout).toBe('one\n');
    expect((await cli(['-n', '3', 'GET', 'cli:a'])).stdout).toBe('\n');
  });

  test('a script on standard input runs in order, errors and transactions among it', async () => {
    const script = [
      'SELECT 2', 'SET s 1', 'INCR s', 'LPUSH s x', 'MULTI', 'INCR s', 'INCR s', 'EXEC', 'HSET h f v g w', 'HGETALL h',
      'NOSUCHCOMMAND a', 'CLIENT SETNAME me', 'CLIENT GETNAME', 'SELECT 0', 'EXISTS s', 'PING',
    ].join('\n');
    const { stdout, code } = await cli([], script);
    expect(stdout.split('\n')).toEqual([
      'OK', 'OK', '2', 'WRONGTYPE Operation against a key holding the wrong kind of value', '',
      'OK', 'QUEUED', 'QUEUED', '3', '4', '2', 'f', 'v', 'g', 'w',
      expect.stringMatching(/^ERR unknown command 'NOSUCHCOMMAND'/), '', 'OK', 'me', 'OK', '0', 'PONG', '',
    ]);
    expect(code).toBe(0);
  });

  test('--pipe inserts in bulk and counts every reply', async () => {
    const count = 20_000;
    const commands: string[] = [];
    for (let i = 0; i < count; i++) commands.push(`*3\r\n$3\r\nSET\r\n$${`bulk:${i}`.length}\r\nbulk:${i}\r\n$1\r\nx\r\n`);
    const { stdout } = await cli(['--pipe'], commands.join(''));
    expect(stdout).toContain(`errors: 0, replies: ${count}`);
    expect((await cli(['EXISTS', 'bulk:0', `bulk:${count - 1}`])).stdout).toBe('2\n');
  });

  test('--scan with a pattern finds every key once', async () => {
    for (let i = 0; i < 40; i++) await cli(['SET', `scan:${i}`, 'x']);
    const { stdout } = await cli(['--scan', '--pattern', 'scan:*']);
    expect(stdout.trim().split('\n').toSorted()).toEqual(Array.from({ length: 40 }, (_, i) => `scan:${i}`).toSorted());
  });

  test('SUBSCRIBE prints what others publish', async () => {
    await using listener = start(stage.port, ['SUBSCRIBE', 'news', 'more']);
    await listener.printed('subscribe\nmore\n2');
    expect((await cli(['PUBLISH', 'news', 'hello'])).stdout).toBe('1\n');
    await listener.printed('message\nnews\nhello');
  });

  test('a blocked BLPOP gets what is pushed later', async () => {
    await using waiting = start(stage.port, ['BLPOP', 'queue', '5']);
    await sleep(100);
    await cli(['RPUSH', 'queue', 'job']);
    await waiting.printed('queue\njob\n');
    expect((await cli(['LLEN', 'queue'])).stdout).toBe('0\n');
  });
});

describe.each(realKinds)('redis-cli on %s, a real server behind', (kind) => {
  let stage: Stage;
  beforeAll(async () => { stage = await startStage(kind); });
  afterAll(() => stage[Symbol.asyncDispose]());

  test('MONITOR prints the commands of others', async () => {
    await using monitor = start(stage.port, ['MONITOR']);
    await monitor.printed('OK');
    const set = await runProgram('redis-cli', ['-p', String(stage.port), 'SET', 'seen', 'by-monitor']);
    expect(set.stdout).toBe('OK\n');
    await monitor.printed('"SET" "seen" "by-monitor"');
  });

  test('EVAL, INFO and --bigkeys work', async () => {
    const cli = (...args: string[]) => runProgram('redis-cli', ['-p', String(stage.port), ...args]);
    expect((await cli('EVAL', 'return {KEYS[1], ARGV[1]}', '1', 'k', 'a')).stdout).toBe('k\na\n');
    expect((await cli('INFO', 'server')).stdout).toContain('redis_version:');
    expect((await cli('--bigkeys')).stdout).toContain('-------- summary -------');
  });
});

describe.each(allKinds)('redis-benchmark on %s', (kind) => {
  // MSET, LRANGE and the rest of its standard set; the embedded server has no XADD.
  const classes = ['ping_inline', 'ping_mbulk', 'set', 'get', 'incr', 'lpush', 'rpush', 'lpop', 'rpop', 'sadd', 'hset',
    'spop', 'zadd', 'zpopmin', 'lrange_100', 'lrange_300', 'mset', ...(kind === 'memory' ? [] : ['xadd'])];

  test('all its classes at depth 16 end without an error', async () => {
    await using stage = await startStage(kind);
    const run = await runProgram('redis-benchmark', [
      '-p', String(stage.port), '-P', '16', '-c', '20', '-n', '4000', '-q', '-t', classes.join(','),
    ], { timeout: 18_000 });
    expect(run.stderr + run.stdout).not.toMatch(/error|ERR|WARN/i);
    expect(run.code).toBe(0);
    const finished = run.stdout.split(/[\r\n]/).filter((line) => line.includes('requests per second'));
    expect(finished.length).toBeGreaterThanOrEqual(classes.length);
  });

  test('large random values and threads end without an error', async () => {
    await using stage = await startStage(kind);
    const run = await runProgram('redis-benchmark', [
      '-p', String(stage.port), '-P', '4', '-c', '16', '-n', '2000', '-d', '20000', '-r', '100', '--threads', '2', '-q',
      '-t', 'set,get',
    ], { timeout: 18_000 });
    expect(run.stderr + run.stdout).not.toMatch(/error|ERR|WARN/i);
    expect(run.code).toBe(0);
  });
});

interface Printing extends AsyncDisposable { printed(text: string): Promise<void> }

/** redis-cli as a person leaves it running. */
function start(port: number, args: readonly string[]): Printing {
  const child: ChildProcess = spawn('redis-cli', ['-p', String(port), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    async printed(wanted) {
      for (let i = 0; i < 250 && !text.includes(wanted); i++) await sleep(20);
      expect(text).toContain(wanted);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
