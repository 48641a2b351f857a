// What `millrace new plugin` writes. `@NAME@` becomes the name.

export const pluginTemplate = `import { definePlugin, ProxyError } from 'millrace';

interface Conf {
  /** Commands that are refused, in upper or lower case. */
  readonly commands: readonly string[];
  readonly message: string;
}

/** Refuses the listed commands, whichever protocol they come in by. */
export default definePlugin<Conf>({
  name: '@NAME@',
  version: '0.1.0',
  // Plugins with a higher one run first.
  priority: 2000,
  schema: {
    type: 'object',
    required: ['commands'],
    additionalProperties: false,
    properties: {
      commands: { type: 'array', items: { type: 'string' }, minItems: 1 },
      message: { type: 'string', default: 'command refused' },
    },
  },
  // Runs once per place where the plugin is configured: prepare here, so that the hooks below only run.
  setup(conf, context) {
    const refused = new Set(conf.commands.map((name) => name.toLowerCase()));
    const count = context.counter('refused_total', 'Requests that were refused.');
    return {
      request(request) {
        if (!refused.has(request.name)) return;
        count.add();
        request.settle(new ProxyError('DENIED', conf.message));
      },
    };
  },
});
`;

export const pluginTestTemplate = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PluginContext, Request } from 'millrace';
import plugin from './@NAME@.ts';

/** Runs the request hook of a place that refuses FLUSHALL; answers what it did. */
function ask(name: string): { readonly outcome: unknown; readonly counted: number } {
  let outcome: unknown = null;
  let counted = 0;
  const context = { counter: () => ({ add: () => { counted++; } }) } as unknown as PluginContext;
  const request = { name, settle: (answer: unknown) => { outcome = answer; } } as unknown as Request;
  const hooks = plugin.setup({ commands: ['FLUSHALL'], message: 'not here' }, context);
  void hooks.request?.(request);
  return { outcome, counted };
}

test('a listed command is refused and counted', () => {
  const { outcome, counted } = ask('flushall');
  assert.equal((outcome as Error).message, 'not here');
  assert.equal(counted, 1);
});

test('any other command passes', () => {
  assert.deepEqual(ask('get'), { outcome: null, counted: 0 });
});
`;
