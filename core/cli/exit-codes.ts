// What the `millrace` command ends with. docs/cli.md has the same table; a test compares the two.
import { ProxyError } from '../errors.ts';

export const exitCodes = {
  ok: 0,
  /** Settings, resources or arguments' contents are wrong, or a check or test failed. */
  invalid: 1,
  usage: 2,
  listen: 3,
  store: 4,
  internal: 5,
  /** A second signal ended what the first one let finish. */
  cut: 6,
} as const;

export type ExitCode = typeof exitCodes[keyof typeof exitCodes];

export const meanings: Readonly<Record<ExitCode, string>> = {
  0: 'All went well; after a signal: everything under way was finished, or the deadline was reached.',
  1: 'Invalid settings, resources or admin key; a check or test failed; the Node is too old.',
  2: 'The command line was not understood.',
  3: 'A port could not be listened on.',
  4: 'The configuration store could not be used.',
  5: 'An error of Millrace itself.',
  6: 'A second signal came while the first was being obeyed: ended at once.',
};

export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof ProxyError)) return exitCodes.internal;
  if (error.code === 'LISTEN_FAILED') return exitCodes.listen;
  if (error.code === 'STORE_FAILED') return exitCodes.store;
  return error.source === 'config' ? exitCodes.invalid : exitCodes.internal;
}
