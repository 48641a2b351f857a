// Whether a Redis node is well: it must answer PING, not only accept connections. A server that hangs accepts, too.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ProbeFailure, type ProbeTarget } from '../../core/upstream/probe.ts';
import { encodeRequest } from './resp/encode.ts';

/** Answers of a server that will serve before long, but does not now. */
export const unwell = /^-(LOADING|MASTERDOWN|CLUSTERDOWN)/;
/** ROLE's own words, and ours. */
const roles: Readonly<Record<string, string>> = { master: 'master', slave: 'replica', sentinel: 'sentinel' };
const longestReply = 1024;

interface Step {
  readonly request: readonly string[];
  /** How many lines of the answer are needed, if it is no error. */
  readonly lines: number;
  /** Why the answer is not that of a node that is well; null: it is. */
  readonly judge: (lines: readonly string[]) => string | null;
}

/**
 * Resolves when the node answers, and as `target.conf` wants (`role`, `reply`). That a password is missing is an answer,
 * too, where we have none; one that we have it must take.
 */
export function probeRedis(target: ProbeTarget, signal: AbortSignal): Promise<void> {
  const steps = stepsOf(target);
  return new Promise((resolve, reject) => {
    const { dial, tls } = target;
    const socket = tls === undefined ? connect({ ...dial, noDelay: true }) : connectTls({ ...dial, ...tls });
    let text = '';
    let step = 0;
    const end = (cause?: Error): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      if (cause === undefined) resolve();
      else reject(cause);
    };
    const abort = (): void => end(new ProbeFailure('timeout', 'the probe timed out'));
    signal.addEventListener('abort', abort);
    socket.on('error', end);
    socket.on('close', () => end(new ProbeFailure('tcp', 'the node closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1', 0, longestReply);
      for (;;) {
        const { lines, judge } = steps[step]!;
        const found = text.split('\n').slice(0, -1);
        const needed = text.startsWith('-') ? 1 : lines;
        if (found.length < needed) break;
        const answer = found.slice(0, needed);
        const wrong = judge(answer.map((line) => line.replace(/\r$/, '')));
        if (wrong !== null) return end(new ProbeFailure('protocol', wrong));
        if (++step === steps.length) return end();
        text = text.slice(answer.join('\n').length + 1);
      }
      if (text.length > longestReply) end(new ProbeFailure('protocol', 'the node sent no reply'));
    });
    socket.write(Buffer.concat(steps.map(({ request }) => encodeRequest([...request]))));
  });
}

function stepsOf({ auth, conf }: ProbeTarget): Step[] {
  const steps: Step[] = [];
  if (auth !== undefined) {
    const { username, password } = auth;
    steps.push({
      request: username === undefined ? ['AUTH', password] : ['AUTH', username, password], lines: 1,
      judge: ([line = '']) => (line.startsWith('-') ? line.slice(1, 200) : null),
    });
  }
  const { reply, role } = conf as { readonly reply?: string; readonly role?: string };
  steps.push({ request: ['PING'], lines: 1, judge: ([line = '']) => wrongPong(line, reply) });
  if (role !== undefined) steps.push({ request: ['ROLE'], lines: 3, judge: (lines) => wrongRole(lines, role) });
  return steps;
}

function wrongPong(line: string, wanted: string | undefined): string | null {
  if (unwell.test(line)) return line.slice(1, 200);
  if (!line.startsWith('+') && !line.startsWith('-')) return 'the node does not speak Redis';
  if (wanted === undefined || line.startsWith(wanted)) return null;
  return `PING: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(line.slice(0, 200))}`;
}

/** An array whose first element is the role: `*3`, `$6`, `master`. */
function wrongRole(lines: readonly string[], wanted: string): string | null {
  const [head = '', , name = ''] = lines;
  if (head.startsWith('-')) return `ROLE: ${head.slice(1, 200)}`;
  const role = roles[name] ?? name.slice(0, 32);
  return role === wanted ? null : `role: expected ${wanted}, got ${role}`;
}
