// `millrace start`: settings, log, the application, and what signals do.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { App } from '../app.ts';
import { createLogger, type Logger } from '../log.ts';
import { loadSettings, type Settings } from '../settings.ts';
import { banner } from './banner.ts';
import { byPlace } from './by-place.ts';
import { exitCodeOf, exitCodes, type ExitCode } from './exit-codes.ts';
import { usualFile } from './usual-file.ts';

export async function start(file: string | undefined): Promise<ExitCode> {
  const loaded = loadSettings(file ?? usualFile(), process.env);
  if (loaded.settings === null) {
    for (const text of byPlace(loaded.problems.map(({ located }) => located))) console.error(text);
    return exitCodes.invalid;
  }
  const { settings } = loaded;
  let logger: ReturnType<typeof createLogger>;
  try {
    logger = createLogger(settings.log);
  } catch (cause) {
    console.error(`millrace: log.file: ${(cause as Error).message}`);
    return exitCodes.invalid;
  }
  const { log } = logger;
  for (const text of loaded.warnings) log.warn({ code: 'SETTINGS_INVALID' }, text);
  try {
    const { startApp } = await import('../app.ts');
    const app = await startApp({ settings, environment: process.env, log, reopenLog: () => logger.reopen() });
    // Whoever reads that it runs may send a signal at once.
    const stopped = untilStopped(app, settings, log);
    console.log(banner(app, settings, process.env));
    compactHeap();
    return await stopped;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    console.error(`millrace: ${text}`);
    const code = exitCodeOf(error);
    if (code === exitCodes.internal) log.fatal({ code: 'INTERNAL', err: error }, text);
    return code;
  }
}

/** Starting leaves garbage and half-empty pages behind: a fifth of an idle process' memory. */
function compactHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (how?: { type: 'major'; flavor: 'last-resort' }) => void;
  // A little later: what was imported on demand is garbage only then.
  setTimeout(() => collect({ type: 'major', flavor: 'last-resort' }), 1000).unref();
}

function untilStopped(app: App, settings: Settings, log: Logger): Promise<ExitCode> {
  return new Promise((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) return resolve(exitCodes.cut);
      stopping = true;
      const seconds = settings.drain_timeout_s;
      log.info({ code: 'DRAINED' }, `${signal}: no new clients; what is under way has ${seconds} s`);
      app.drain(settings.drain_timeout_s * 1000).then(() => resolve(exitCodes.ok), (error: unknown) => {
        log.error({ code: 'INTERNAL', err: error }, 'stopping failed');
        resolve(exitCodes.internal);
      });
    };
    process.on('uncaughtException', (error) => {
      // Nobody knows what state it is in: it ends, but not in the middle of answers.
      log.fatal({ code: 'INTERNAL', err: error }, 'uncaught error; ending');
      if (stopping) return;
      stopping = true;
      const end = (): void => resolve(exitCodes.internal);
      const deadline = Math.min(5, settings.drain_timeout_s) * 1000;
      app.drain(deadline).then(end, end);
      // What is broken may be just what should end.
      setTimeout(end, deadline + 2000);
    });
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    process.on('SIGHUP', () => {
      app.reload().catch((error: unknown) => log.error({ code: 'INTERNAL', err: error }, 'reloading failed'));
    });
  });
}
