// Listening on a Unix socket: nobody can connect before its rights are set, what a crash left is replaced, and the file goes
// when the listener does.
import { chmodSync, lstatSync, mkdtempSync, renameSync, rmdirSync, rmSync, type Stats } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { ProxyError } from './errors.ts';
import { isUnixPath, longestUnixPath } from './upstream/unix-path.ts';

export interface UnixSettings {
  readonly path: string;
  /** Octal. */
  readonly mode: string;
}

/** The socket is made in a folder that nobody else may enter, beside where it will be: `/.XXXXXX/s`. */
const longestFolder = longestUnixPath - 10;
/** Whoever listens accepts at once; a process that is stopped may never. */
const answerTime = 1000;

/** Whether a listener can be there. */
export function isListenerPath(path: string): boolean {
  return isUnixPath(path) && !path.endsWith('/') && Buffer.byteLength(dirname(path)) <= longestFolder;
}

export const listenerPathExpected = `an absolute path of at most ${longestUnixPath} bytes, in a folder of at most ${longestFolder}`;

/** Resolves with what removes the file. Rejects with LISTEN_FAILED. */
export async function listenUnix(server: Server, { path, mode }: UnixSettings): Promise<() => void> {
  await refuseTaken(path);
  try {
    const folder = mkdtempSync(`${dirname(path)}/.`);
    const made = `${folder}/s`;
    try {
      await listening(server, made);
      chmodSync(made, Number.parseInt(mode, 8));
      const own = lstatSync(made);
      renameSync(made, path);
      return () => removeOwn(path, own);
    } finally {
      rmSync(made, { force: true });
      rmdirSync(folder);
    }
  } catch (cause) {
    server.close();
    throw failure(path, reason(cause), cause);
  }
}

/** Rejects with LISTEN_FAILED if somebody listens there, or if something else has the name. */
export async function refuseTaken(path: string): Promise<void> {
  const there = statOf(path);
  if (there === null) return;
  if (!there.isSocket()) throw failure(path, 'there is a file that is no socket');
  const error = await tryConnect(path);
  // Refused: whoever made it is gone. Else somebody may be behind it, who must not lose his clients.
  if (error?.code === 'ECONNREFUSED' || error?.code === 'ENOENT') return;
  throw failure(path, error === null || error.code === 'EAGAIN' ? 'another process listens there' : reason(error), error ?? undefined);
}

/** Null: somebody answers, or keeps us waiting. */
function tryConnect(path: string): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: answerTime });
    const answered = (): void => {
      socket.destroy();
      resolve(null);
    };
    socket.once('connect', answered).once('timeout', answered).once('error', resolve);
  });
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, backlog: 4096 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Another process may have put its own there since. */
function removeOwn(path: string, own: Stats): void {
  const there = statOf(path);
  if (there !== null && there.ino === own.ino && there.dev === own.dev) rmSync(path, { force: true });
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw failure(path, reason(error), error);
  }
}

/** `EACCES (permission denied)`, without the paths that the system's text repeats. */
function reason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const words = /^E[A-Z]+: ([a-z ]+)/.exec(message)?.[1];
  return code === undefined || words === undefined ? message : `${code} (${words})`;
}

function failure(path: string, text: string, cause?: unknown): ProxyError {
  return new ProxyError('LISTEN_FAILED', `unix:${path}: could not listen: ${text}`, { cause });
}
