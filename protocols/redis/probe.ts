// Whether a Redis node is well: it must answer PING, not only accept connections. A server that hangs accepts, too.
import { connect } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Node } from '../../core/upstream/node.ts';
import { encodeRequest } from './resp/encode.ts';

const PING = encodeRequest(['PING']);
/** Answers of a server that will serve before long, but does not now. */
const unwell = /^-(LOADING|MASTERDOWN|CLUSTERDOWN)/;

/** Resolves when the node answers; that a password is missing is an answer, too. */
export function probeRedis(node: Node, tls: ConnectionOptions | undefined, signal: AbortSignal): Promise<void> {
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
      if (!text.includes('\n')) {
        if (text.length > 512) end(new Error('the node sent no reply'));
        return;
      }
      if (unwell.test(text)) end(new Error(text.slice(1, text.indexOf('\r'))));
      else if (text.startsWith('+') || text.startsWith('-')) end();
      else end(new Error('the node does not speak Redis'));
    });
    socket.write(PING);
  });
}
