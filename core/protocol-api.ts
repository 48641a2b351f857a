// What a protocol of one's own imports: `import { defineProtocol, Session, Link } from 'millrace/protocol'`.
export { defineProtocol } from './protocol.ts';
export type { Backend, BackendOptions, Door, EmbeddedServer, Protocol, ProtocolPlace } from './protocol.ts';
export type { Connection, Origin } from './connection.ts';
export type { Engine } from './engine.ts';
export { ProxyError } from './errors.ts';
export { flushOutboxes } from './outbox.ts';
export type { Plan } from './plan.ts';
export { Request, type Owner, type Reply } from './request.ts';
export type { Route } from './route.ts';
export type { JsonSchema } from './schema.ts';
export { Session } from './session.ts';
export { ASIDE, GARBAGE, Link, MORE, REPLY, type LinkOptions } from './upstream/link.ts';
export { hashKey } from './upstream/hash-key.ts';
export type { Node } from './upstream/node.ts';
export type { Receiver } from './upstream/receiver.ts';
export type { Upstream } from './upstream/upstream.ts';
