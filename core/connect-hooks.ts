// Whether the plugins of a route, or of a consumer, let a connection in.
import { ProxyError } from './errors.ts';
import { ran } from './last-plugin.ts';
import type { Place } from './plan.ts';
import type { Session } from './session.ts';

/** Null: they let it in. */
export async function runConnectHooks(places: readonly Place[], session: Session, longest: number): Promise<ProxyError | null> {
  for (const { hooks, mark, report, failsOpen } of places) {
    ran(mark);
    try {
      const wait = hooks.connect!(session);
      if (wait === undefined || await inTime(wait, hooks.maxWait ?? longest, session)) continue;
      report('PLUGIN_TIMEOUT', undefined);
      return new ProxyError('PLUGIN_TIMEOUT');
    } catch (cause) {
      if (cause instanceof ProxyError) return cause;
      // A gate that broke stays shut, unless it was told otherwise.
      report('PLUGIN_FAILED', cause);
      if (failsOpen !== true) return new ProxyError('PLUGIN_FAILED', undefined, { cause });
    }
  }
  return null;
}

/** Whether it resolved before the time was over. True also when the client went: there is nobody left to refuse. */
function inTime(wait: Promise<void>, longest: number, session: Session): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), longest);
    const end = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    session.onClose(end);
    wait.then(end, (cause: unknown) => {
      clearTimeout(timer);
      reject(cause);
    });
  });
}
