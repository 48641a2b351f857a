// What a plugin of one's own imports: `import { definePlugin, ProxyError } from 'millrace'`.
export { definePlugin } from './plugin.ts';
export type { Client, Counter, Gauge, Hooks, Plugin, PluginContext, Target, Targets, UpstreamChoice, WindowTable } from './plugin.ts';
export { ProxyError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export { connectionRequest } from './connection-request.ts';
export { checkExpression, compileExpression } from './expression.ts';
export { compileTemplate, findVariable, isWellFormedVariable } from './variables.ts';
export type { Variable } from './variables.ts';
export { checkUpstream } from './config/check.ts';
export { upstreamSchema } from './config/schemas/upstream.ts';
export type { SecretContext, SecretManager } from './config/secret-manager.ts';
export { compileGlob } from './glob.ts';
export type { Glob } from './glob.ts';
export { onReopen } from './reopen.ts';
export type { Reply, Request } from './request.ts';
export type { Session } from './session.ts';
export type { JsonSchema } from './schema.ts';
