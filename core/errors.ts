// Every failure Millrace can report, in one place. docs/errors.md lists the same codes; a test compares the two.

/** Who caused a failure: logs and metrics group by it. */
export type ErrorSource = 'downstream' | 'upstream' | 'config' | 'plugin' | 'internal';

interface Failure {
  readonly source: ErrorSource;
  /** What a client reads when no better text is given. */
  readonly text: string;
}

const failures = {
  // One request.
  PLUGIN_FAILED: { source: 'plugin', text: 'a plugin failed' },
  PLUGIN_TIMEOUT: { source: 'plugin', text: 'a plugin did not answer in time' },
  FAULT_INJECTED: { source: 'plugin', text: 'fault injected' },
  LIMIT_EXCEEDED: { source: 'plugin', text: 'rate limit exceeded' },
  LIMIT_STORE_FAILED: { source: 'plugin', text: 'failed to limit count' },
  DENIED: { source: 'plugin', text: 'denied' },
  COMMAND_REFUSED: { source: 'downstream', text: 'command refused on a shared route' },
  NO_ROUTE: { source: 'config', text: 'no route' },
  NO_UPSTREAM: { source: 'config', text: 'the route has no upstream' },
  NO_NODE: { source: 'upstream', text: 'no healthy upstream' },
  CONNECT_FAILED: { source: 'upstream', text: 'failed to connect to upstream' },
  TARGET_REFUSED: { source: 'config', text: 'no connection may go there' },
  CONNECT_TIMEOUT: { source: 'upstream', text: 'connecting to upstream timed out' },
  UPSTREAM_TIMEOUT: { source: 'upstream', text: 'upstream timeout' },
  UPSTREAM_CLOSED: { source: 'upstream', text: 'upstream closed the connection; the command may have been executed' },
  UPSTREAM_PROTOCOL: { source: 'upstream', text: 'upstream sent an invalid reply' },
  UPSTREAM_HANDSHAKE: { source: 'upstream', text: 'upstream refused the handshake' },
  UPSTREAM_BUSY: { source: 'upstream', text: 'too many requests wait for upstream' },
  LINKS_EXHAUSTED: { source: 'upstream', text: 'no free upstream connection' },

  // One connection: the reason it ended, in log and metric.
  CLIENT_CLOSED: { source: 'downstream', text: 'the client closed the connection' },
  CLIENT_RESET: { source: 'downstream', text: 'the client reset the connection' },
  CLIENT_QUIT: { source: 'downstream', text: 'the client asked to close' },
  CLIENT_SLOW: { source: 'downstream', text: 'the client reads too slowly' },
  CLIENT_IDLE: { source: 'downstream', text: 'the client was idle too long' },
  CLIENT_REQUEST_TIMEOUT: { source: 'downstream', text: 'the client did not finish its request in time' },
  PROTOCOL_ERROR: { source: 'downstream', text: 'protocol error' },
  SECURITY_ABORT: { source: 'downstream', text: 'the client spoke another protocol' },
  TOO_MANY_CONNECTIONS: { source: 'downstream', text: 'max number of clients reached' },
  MEMORY_LIMIT: { source: 'internal', text: 'memory limit reached' },
  CONNECTION_REFUSED: { source: 'plugin', text: 'connection refused by a plugin' },
  TLS_UNVERIFIED: { source: 'config', text: 'the certificate of a node is not checked' },
  TLS_FAILED: { source: 'downstream', text: 'TLS handshake failed' },
  TLS_NO_SNI: { source: 'downstream', text: 'failed to find SNI' },
  TLS_NO_CERTIFICATE: { source: 'config', text: 'failed to match any SSL certificate by SNI' },
  TLS_CLIENT_REFUSED: { source: 'downstream', text: 'client certificate refused' },
  UPSTREAM_ENDED: { source: 'upstream', text: 'the server ended the connection' },
  REPLY_CUT: { source: 'upstream', text: 'upstream ended in the middle of a reply' },
  ROUTE_REMOVED: { source: 'config', text: 'the route was removed' },
  STORE_AWAY: { source: 'config', text: 'the configuration store does not answer' },
  STORE_BACK: { source: 'config', text: 'the configuration store answers again' },
  PROXY_HEADER: { source: 'downstream', text: 'no PROXY header, or one of somebody who is not trusted' },
  KILLED: { source: 'config', text: 'closed by an operator' },
  DRAINED: { source: 'config', text: 'shutting down' },
  INTERNAL: { source: 'internal', text: 'internal error' },

  // Configuration, plugins, process.
  CONFIG_INVALID: { source: 'config', text: 'invalid configuration' },
  CONFIG_UNREADABLE: { source: 'config', text: 'configuration could not be read' },
  CONFIG_SHADOWED: { source: 'config', text: 'the same resource is in the store and in a file; the file wins' },
  CONFIG_RELOADED: { source: 'config', text: 'configuration reloaded' },
  STORE_FAILED: { source: 'internal', text: 'the configuration store failed' },
  SETTINGS_INVALID: { source: 'config', text: 'invalid settings' },
  CERTIFICATE_INVALID: { source: 'config', text: 'a certificate cannot be used' },
  CERTIFICATE_DATES: { source: 'config', text: 'a certificate is not valid now, or not for long' },
  CERTIFICATE_RELOADED: { source: 'config', text: 'a certificate was reloaded' },
  LISTEN_FAILED: { source: 'config', text: 'could not listen' },
  ADMIN_WRITE: { source: 'config', text: 'a write through the Admin API' },
  ADMIN_DENIED: { source: 'downstream', text: 'a request to the Admin API was not let in' },
  MODULE_FAILED: { source: 'plugin', text: 'a plugin or protocol file could not be loaded' },
  MODULE_RELOADED: { source: 'plugin', text: 'a plugin or protocol file was reloaded' },
  NODE_DOWN: { source: 'upstream', text: 'an upstream node was left out' },
  ALL_NODES_DOWN: { source: 'upstream', text: 'all nodes of an upstream are unwell; they are used all the same' },
  CONFIG_IDLE: { source: 'config', text: 'a part of a route does nothing' },
  CONFIG_LOOP: { source: 'config', text: 'a route leads to itself' },
  PLUGIN_IDLE: { source: 'config', text: 'a plugin does nothing on its route' },
  VARIABLE_UNKNOWN: { source: 'config', text: 'a variable that nobody on the route knows; it reads as empty' },
  HASH_KEY_EMPTY: { source: 'config', text: 'what chash goes by is empty; the client\'s address is hashed instead' },
  SERVICE_CHANGED: { source: 'upstream', text: 'the nodes of a service changed' },
  SERVICE_FAILED: { source: 'upstream', text: 'a service could not be found' },
  NODE_UP: { source: 'upstream', text: 'an upstream node was taken back' },
  LOG_DROPPED: { source: 'internal', text: 'log records were dropped' },
  WORKER_LOST: { source: 'internal', text: 'a worker ended or stopped answering' },
  WORKER_STARTED: { source: 'internal', text: 'a worker was replaced' },
} as const satisfies Record<string, Failure>;

export type ErrorCode = keyof typeof failures;
export const errorCodes = Object.keys(failures) as ErrorCode[];

export interface ProxyErrorOptions {
  readonly cause?: unknown;
  /** The connection must close after this answer was written: nothing valid can follow. */
  readonly close?: boolean;
}

/**
 * A failure of Millrace's own (a server's error reply is a reply, not this). `message` is what the client reads;
 * `cause` goes to the log only. Doors encode it: the redis door as an error reply, an HTTP door as status and body.
 */
export class ProxyError extends Error {
  readonly code: ErrorCode;
  readonly close: boolean;

  constructor(code: ErrorCode, text: string = failures[code].text, options: ProxyErrorOptions = {}) {
    // It is an answer more often than a surprise: rejecting at full speed must not spend its time on stack traces.
    // What surprised us is in `cause`, with a trace of its own.
    const depth = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = depth;
    this.name = 'ProxyError';
    this.code = code;
    this.close = options.close ?? false;
  }

  get source(): ErrorSource {
    return failures[this.code].source;
  }
}
