// Log lines are JSON, one record a line, written by pino. Every record that reports a failure carries a `code`.
import { pino, destination, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

export interface LogOptions {
  readonly level: string;
  /** Path; without it records go to stderr (standard output is for what a user asked to see). */
  readonly file?: string;
}

/** Returns the logger and a `reopen` for log rotation (SIGHUP). */
export function createLogger(options: LogOptions): { log: Logger; reopen(): void } {
  const sink = destination({ dest: options.file ?? 2, sync: options.file === undefined, mkdir: true });
  const log = pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, sink);
  return { log, reopen: () => { if (options.file !== undefined) sink.reopen(); } };
}

export const silentLogger: Logger = pino({ level: 'silent' });
