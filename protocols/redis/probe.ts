// Whether a Redis node is well: it must answer PING, not only accept connections. A server that hangs accepts, too.
import { connect } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Node } from '../../core/upstream/node.ts';
import { authRequest, type Credentials } from './link.ts';
import { encodeRequest } from './resp/encode.ts';

const PING = encodeRequest(['PING']);
/** Answers of a server that will serve before long, but does not now. */
const unwell = /^-(LOADING|MASTERDOWN|CLUSTERDOWN)/;

/**
 * Resolves when the node answers; that a password is missing is an answer, too, where we have none. With credentials it
 * must take them.
 */
export function probeRedis(
  node: Node, tls: ConnectionOptions | undefined, credentials: Credentials | null, signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const target = { ...node.dial, noDelay: true };
    const socket = tls === undefined ? connect(target) : connectTls({ ...node.serverName, ...target, ...tls });
    let text = '';
    const end = (cause?: Error): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      if (cause === undefined) resolve();
      else reject(cause);
    };
    const abort = (): void => end(new Error('the probe timed out'));
    signal.addEventListener('abort', abort);
    socket.on('error', end);
    socket.on('close', () => end(new Error('the node closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1', 0, 512);
      const found = verdict(text, credentials !== null);
      if (found === null) end();
      else if (found !== undefined) end(new Error(found));
    });
    socket.write(credentials === null ? PING : Buffer.concat([authRequest(credentials), PING]));
  });
}

/** Why the node is not well; null: it is. Undefined: more is to come. */
function verdict(text: string, loggingIn: boolean): string | null | undefined {
  const lines = text.split(/\r?\n/);
  // The last one is not complete.
  const [first, last] = [lines[0]!, lines[loggingIn ? 1 : 0]!];
  if (loggingIn && lines.length > 1 && first.startsWith('-')) return first.slice(1);
  if (lines.length < (loggingIn ? 3 : 2)) return text.length > 512 ? 'the node sent no reply' : undefined;
  if (unwell.test(last)) return last.slice(1);
  return /^[+-]/.test(last) ? null : 'the node does not speak Redis';
}
