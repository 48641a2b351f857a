// What a plugin of one's own imports: `import { definePlugin, ProxyError } from 'millrace'`.
export { definePlugin } from './plugin.ts';
export type { Client, Counter, Gauge, Hooks, Plugin, PluginContext, WindowTable } from './plugin.ts';
export { ProxyError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export { compileExpression } from './expression.ts';
export { isWellFormedVariable } from './variables.ts';
export { onReopen } from './reopen.ts';
export type { Reply, Request } from './request.ts';
export type { Session } from './session.ts';
export type { JsonSchema } from './schema.ts';
