// A request that is answered with an error: status and body. Texts that scripts may compare stay those of the
// reference, so they go without the path in front; `errors` has the paths.
import type { Problem } from '../core/schema.ts';

export interface RefusalBody {
  readonly error_msg?: string;
  readonly description?: string;
  readonly message?: string;
  readonly errors?: readonly (ProblemBody | ListedProblem)[];
}

interface ProblemBody {
  readonly path: string; readonly expected: string; readonly got: string; readonly message: string;
}

/** One of many in a whole configuration, as the reference lists them. */
export interface ListedProblem {
  readonly resource_type: string;
  readonly resource_id?: string;
  /** From 0. */
  readonly index?: number;
  readonly path: string;
  readonly error: string;
}

export class Refusal extends Error {
  readonly status: number;
  /** A string is answered as plain text. */
  readonly body: RefusalBody | string;

  constructor(status: number, body: RefusalBody | string) {
    super(typeof body === 'string' ? body : body.error_msg ?? body.message ?? `status ${status}`);
    this.name = 'Refusal';
    this.status = status;
    this.body = body;
  }
}

export function refuse(status: number, text: string): Refusal {
  return new Refusal(status, { error_msg: text });
}

const wordForWord = new RegExp('^(' + [
  'wrong .* id', 'missing ', 'unknown (plugin|protocol) \\[', 'the property is forbidden: ',
  'invalid plugin name$', 'failed to fetch ', 'stream route can not set itself', 'protocol mismatch: ',
  'can not delete ', 'plugin \'[^\']+\' already exists ', 'unknown secret manager ', 'invalid (remote_addr|server_addr): ',
  '\\w+_conf_version must be ', 'found duplicate ',
].join('|') + ')');

/** An answer is not longer than what was sent, and nobody reads on. */
const mostTold = 1000;

/** 400, the first problem as text and all of them as a list; null when there is none. */
export function refusalOf(problems: readonly Problem[]): Refusal | null {
  const [first] = problems;
  if (first === undefined) return null;
  return new Refusal(400, {
    error_msg: wordForWord.test(first.text) ? first.text : first.message,
    errors: problems.slice(0, mostTold).map(({ path, expected, got, message }) => ({ path, expected, got, message })),
  });
}

/** 400 for one problem whose text says everything. */
export function refusalText(text: string, path: readonly string[] = [], got = '', expected = ''): Refusal {
  return new Refusal(400, {
    error_msg: text, errors: [{ path: path.join('.'), expected, got, message: text }],
  });
}

export const notFound = new Refusal(404, { message: 'Key not found' });
