// The whole asynchronous machinery: hooks run in order and synchronously, unless one hands back a promise.
import { ProxyError } from './errors.ts';
import { ran } from './last-plugin.ts';
import type { Plan, RequestHook } from './plan.ts';
import type { Request } from './request.ts';

/**
 * Runs the request hooks. Undefined: done, and the request is either settled or to be sent. A promise: some hook
 * waits; it resolves when all hooks are done, and never rejects.
 */
export function runRequestHooks(hooks: readonly RequestHook[], request: Request): Promise<void> | undefined {
  for (let i = 0; i < hooks.length; i++) {
    const hook = hooks[i]!;
    let wait: void | Promise<void>;
    ran(hook.mark);
    try {
      wait = hook.run(request);
    } catch (cause) {
      pluginFailed(request, hook, cause);
      if (request.settled) return undefined;
      continue;
    }
    if (wait !== undefined) return resume(hooks, i, request, wait);
    if (request.settled) return undefined;
  }
  return undefined;
}

async function resume(hooks: readonly RequestHook[], at: number, request: Request, wait: Promise<void>): Promise<void> {
  await settleBy(wait, hooks[at]!, request);
  for (let i = at + 1; i < hooks.length && !request.settled && !request.session.closed; i++) {
    const hook = hooks[i]!;
    ran(hook.mark);
    try {
      const next = hook.run(request);
      if (next !== undefined) await settleBy(next, hook, request);
    } catch (cause) {
      pluginFailed(request, hook, cause);
    }
  }
}

/** A hook that never resolves is ended by its deadline; what it does later is ignored. */
async function settleBy(wait: Promise<void>, hook: RequestHook, request: Request): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let forget = (): void => undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      hook.report('PLUGIN_TIMEOUT', undefined);
      request.settle(new ProxyError('PLUGIN_TIMEOUT'));
      resolve();
    }, hook.maxWait);
    forget = request.session.onClose(resolve);
  });
  try {
    await Promise.race([wait, deadline]);
  } catch (cause) {
    pluginFailed(request, hook, cause);
  } finally {
    clearTimeout(timer);
    forget();
  }
}

function pluginFailed(request: Request, hook: RequestHook, cause: unknown): void {
  if (cause instanceof ProxyError) {
    request.settle(cause);
    return;
  }
  hook.report('PLUGIN_FAILED', cause);
  if (!hook.failsOpen) request.settle(new ProxyError('PLUGIN_FAILED', undefined, { cause }));
}

/** Asks the places of a plan whether their response and log hooks want this request. */
export function isObserved(plan: Plan, request: Request): boolean {
  const observers = plan.observers;
  if (observers === null) return false;
  let wanted = false;
  for (let i = 0; i < observers.length; i++) {
    const observer = observers[i]!;
    if (observer.select === null) {
      wanted = true;
    } else {
      ran(observer.mark);
      try {
        if (observer.select(request)) {
          wanted = true;
        } else {
          request.skipped |= observer.bit;
        }
      } catch (cause) {
        observer.report('PLUGIN_FAILED', cause);
      }
    }
  }
  return wanted;
}

/** Runs the response hooks; a hook that throws turns the answer into PLUGIN_FAILED. */
export function runResponseHooks(plan: Plan, request: Request): void {
  const observers = plan.response!;
  for (let i = 0; i < observers.length; i++) {
    const observer = observers[i]!;
    if ((request.skipped & observer.bit) !== 0) continue;
    ran(observer.mark);
    try {
      observer.response!(request);
    } catch (cause) {
      observer.report('PLUGIN_FAILED', cause);
      if (!observer.failsOpen) request.outcome = new ProxyError('PLUGIN_FAILED', undefined, { cause });
    }
  }
}

export function runLogHooks(plan: Plan, request: Request): void {
  const observers = plan.log!;
  for (let i = 0; i < observers.length; i++) {
    const observer = observers[i]!;
    if ((request.skipped & observer.bit) !== 0) continue;
    ran(observer.mark);
    try {
      observer.log!(request);
    } catch (cause) {
      observer.report('PLUGIN_FAILED', cause);
    }
  }
}
