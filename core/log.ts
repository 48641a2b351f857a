// Log lines are JSON, one record a line, written by pino. Every record that reports a failure carries a `code`.
import { pino, type Logger as PinoLogger } from 'pino';
import { LogFile } from './log-file.ts';

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
  const file = new LogFile(options.file);
  return { log: pino(format, file), reopen: () => file.reopen() };
}

export const silentLogger: Logger = pino({ level: 'silent' });
