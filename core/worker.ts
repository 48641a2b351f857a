// One worker thread: a data plane that does what the main thread says.
import { parentPort, workerData } from 'node:worker_threads';
import { applyChange } from './config/change.ts';
import type { Config } from './config/source.ts';
import { DataPlane } from './data-plane.ts';
import { ProxyError } from './errors.ts';
import { watchLastPlugin } from './last-plugin.ts';
import { Loader } from './loader.ts';
import { createLogger } from './log.ts';
import { Registry } from './registry.ts';
import type { AnswerMessage, Call, CallMessage, MarkMessage, TailMessage, WorkerData } from './worker-messages.ts';

const { settings, windows, occupancy, lastPlugin, worker, workers, upstream, modules, certificates, ticketSecret } = workerData as WorkerData;
watchLastPlugin(lastPlugin, (mark, name) => parentPort!.postMessage({ mark, name } satisfies MarkMessage));
const logger = createLogger(settings.log);
const { log } = logger;
const registry = new Registry();
const loader = new Loader(registry);
const loading = load();
let config: Config | null = null;
const plane = new DataPlane({ settings, log: log.child({ worker }), registry, loader, windows, occupancy, worker, workers, upstream, certificates, ticketSecret });

// Nobody knows what state it is in: others take its clients, and it ends, but not in the middle of answers.
let ending = false;
process.on('uncaughtException', (error) => {
  log.fatal({ code: 'WORKER_LOST', worker, err: error }, 'uncaught error; this worker ends and is replaced');
  if (ending) return;
  ending = true;
  const end = (): void => process.exit(1);
  plane.drain(Math.min(5, settings.drain_timeout_s) * 1000).then(end, end);
});

async function load(): Promise<void> {
  for (const { kind, file, generation, sources } of modules) {
    const error = await loader.load(kind, file, generation, sources);
    if (error !== null) log.error({ code: 'MODULE_FAILED', worker, file, text: error }, 'a module could not be loaded');
  }
}

plane.onTail = (tail) => parentPort!.postMessage({ tail } satisfies TailMessage);

async function answer(call: Call): Promise<unknown> {
  await loading;
  switch (call.name) {
    case 'listen': return plane.listen();
    case 'apply':
      config = applyChange(config, call.change);
      return plane.apply(config, call.embedded);
    case 'loadModule': return plane.loadModule(call.module);
    case 'certificates': return plane.setCertificates(call.certificates);
    case 'status': return plane.status();
    case 'inspect': return plane.inspect(call.question);
    case 'metrics': return plane.metrics();
    case 'tail': return plane.tail(call.options);
    case 'untail': return plane.untail(call.id);
    case 'reopen':
      logger.reopen();
      return plane.reopen();
    case 'ping': return null;
    case 'drain': return plane.drain(call.deadline);
  }
}

parentPort!.on('message', ({ number, call }: CallMessage) => {
  answer(call).then(
    (value) => parentPort!.postMessage({ number, value } satisfies AnswerMessage),
    (cause: unknown) => {
      const code = cause instanceof ProxyError ? cause.code : 'INTERNAL';
      const message = cause instanceof Error ? cause.message : String(cause);
      parentPort!.postMessage({ number, error: { code, message } } satisfies AnswerMessage);
    },
  );
});
