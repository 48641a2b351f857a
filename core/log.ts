// Log lines are JSON, one record a line, written by pino. Every record that reports a failure carries a `code`.
import { pino, destination, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

export interface LogOptions {
  readonly level: string;
  /** Path; without it records go to stderr (standard output is for what a user asked to see). */
  readonly file?: string;
}

/** Returns the logger and a `reopen` for log rotation (SIGHUP). Lines go to `sink` instead, where one is given. */
export function createLogger(
  options: LogOptions, sink?: { write(line: string): void },
): { log: Logger; reopen(): void } {
  const format = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (sink !== undefined) return { log: pino(format, sink), reopen() {} };
  const file = destination({ dest: options.file ?? 2, sync: options.file === undefined, mkdir: true });
  return { log: pino(format, file), reopen: () => { if (options.file !== undefined) file.reopen(); } };
}

export const silentLogger: Logger = pino({ level: 'silent' });
