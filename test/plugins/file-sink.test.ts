// Paths that are no ordinary file: the sink fails, and nobody else waits.
import { execFileSync } from 'node:child_process';
import { constants, mkdirSync, symlinkSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FileSink } from '../../plugins/logger/sinks/file.ts';
import { temporaryFolder } from '../admin/admin.ts';

test('pipes that nobody reads are an error at once, however many; files of others are read meanwhile', async () => {
  using folder = temporaryFolder();
  const paths = Array.from({ length: 8 }, (_, index) => join(folder.path, `pipe${index}`));
  execFileSync('mkfifo', paths);
  const sinks = paths.map((path) => new FileSink(path));
  const from = performance.now();
  const sent = sinks.map((sink) => sink.send(['{}']).then(() => 'sent', (error: NodeJS.ErrnoException) => error.code));
  expect(await readFile(import.meta.filename, 'utf8')).toContain('pipes that nobody reads');
  expect(await Promise.all(sent)).toEqual(paths.map(() => 'ENXIO'));
  expect(performance.now() - from).toBeLessThan(2000);
  await Promise.all(sinks.map((sink) => sink.close()));
});

test('a pipe whose reader is slow is an error when it is full, and goes on when it was read', async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
  const sink = new FileSink(path);
  expect(await sink.send(['first'])).toBe(0);
  await expect(sink.send(['x'.repeat(200_000)])).rejects.toMatchObject({ code: 'EAGAIN' });
  const { buffer, bytesRead } = await reader.read(Buffer.alloc(100_000));
  expect(buffer.toString('utf8', 0, bytesRead).split('\n')[0]).toBe('first');
  expect(await sink.send(['second'])).toBe(0);
  expect((await reader.read(Buffer.alloc(100_000))).buffer.toString('utf8')).toContain('\nsecond\n');
  await sink.close();
  await reader.close();
});

test('a folder, a full device, a place where no folders can be made, a name with a zero byte and a circle of links are errors', async () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, 'folder'));
  symlinkSync(join(folder.path, 'b'), join(folder.path, 'a'));
  symlinkSync(join(folder.path, 'a'), join(folder.path, 'b'));
  for (const [path, code] of [[join(folder.path, 'folder'), 'EISDIR'], ['/dev/full', 'ENOSPC'], [`${folder.path}/a\0b`, 'ERR_INVALID_ARG_VALUE'], [join(folder.path, 'a'), 'ELOOP'], ['/proc/nothing/log', 'ENOENT']]) {
    const sink = new FileSink(path!);
    await expect(sink.send(['{}'])).rejects.toMatchObject({ code });
    await sink.close();
  }
});
