// What a plugin is set up with, for tests of hooks without a proxy around them.
import { silentLogger, type Logger } from '../../core/log.ts';
import type { Client, Hooks, Plugin, PluginContext, Targets } from '../../core/plugin.ts';
import type { Request } from '../../core/request.ts';
import { compileSchema } from '../../core/schema.ts';
import { compileVariable } from '../../core/variables.ts';
import { SharedOccupancy } from '../../core/occupancy.ts';
import { TargetRules } from '../../core/targets.ts';
import { SharedWindows } from '../../core/windows.ts';

export interface TestContext extends PluginContext {
  /** What was counted and set, by name. */
  readonly counted: Record<string, number>;
  /** Variables that the plugin provides. */
  readonly provided: Record<string, (request: Request) => string>;
  /** Moves `now` on. */
  advance(milliseconds: number): void;
}

export interface TestContextOptions {
  readonly windows?: SharedWindows;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly routeId?: string;
  readonly log?: Logger;
  readonly targets?: Targets;
  readonly client?: (protocol: string, upstream: unknown) => Client;
}

export function testContext(options: TestContextOptions = {}): TestContext {
  let time = 10_000;
  const counted: Record<string, number> = {};
  const provided: TestContext['provided'] = {};
  return {
    plugin: 'test', routeId: options.routeId ?? '1', protocol: 'line', log: options.log ?? silentLogger,
    now: () => time,
    advance: (milliseconds) => { time += milliseconds; },
    variable: compileVariable,
    metadata: options.metadata ?? {},
    counted,
    counter: (name) => {
      counted[name] ??= 0;
      return { add: (amount = 1) => { counted[name]! += amount; } };
    },
    gauge: (name) => ({ set: (value) => { counted[name] = value; } }),
    windows: options.windows ?? new SharedWindows(SharedWindows.allocate(), { origin: 0 }),
    targets: options.targets ?? new TargetRules(),
    occupancy: new SharedOccupancy(SharedOccupancy.allocate(1, 64), 0),
    upstream: (name) => ({ name }),
    provide: (name, read) => { provided[name] = read; },
    provided,
    reply: () => { throw new Error('no replies in this test'); },
    client: options.client ?? (() => { throw new Error('no client in this test'); }),
  };
}

/** What the schema and the plugin's own check say about a configuration. */
export function problemsOf(plugin: Plugin, conf: unknown, others: readonly { place: string; conf: unknown }[] = []): string[] {
  const filled = structuredClone(conf);
  const wrong = compileSchema(plugin.schema, { defaults: true })(filled).map((each) => each.message);
  return wrong.length > 0 ? wrong : [...(plugin.check?.(filled, { others, targets: new TargetRules() }) ?? [])];
}

/** Sets a place up as the proxy would: checked, with defaults. */
export function setUp(plugin: Plugin, conf: unknown, context: PluginContext = testContext()): Hooks {
  const wrong = problemsOf(plugin, conf);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  const filled = structuredClone(conf);
  compileSchema(plugin.schema, { defaults: true })(filled);
  return plugin.setup(filled, context);
}
