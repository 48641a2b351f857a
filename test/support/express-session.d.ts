// The little of express-session that our tests use; its own types need express.
declare module 'express-session' {
  import type { EventEmitter } from 'node:events';

  namespace session {
    abstract class Store extends EventEmitter {}
  }
  function session(options: {
    store: session.Store; secret: string; resave: boolean; saveUninitialized: boolean;
  }): (req: never, res: never, next: (error?: unknown) => void) => void;
  export = session;
}
