/** Everything that comes from outside has one of these; sizes in bytes, times in milliseconds. */
export interface Limits {
  /** Requests framed and not answered per client; then reading stops until half are answered. */
  readonly pipelined: number;
  /** Bytes of replies that may be expected for a client whose link others share; one request is always allowed. */
  readonly replyWindow: number;
  /** Unsent bytes of a client: reading stops. */
  readonly unsentPause: number;
  /** Unsent bytes of a client: it is closed. */
  readonly unsentClose: number;
  /** A client that takes nothing for this long while over `unsentPause` is closed. */
  readonly slowClient: number;
  /** All clients' unsent and unfinished bytes together, per worker; the largest are closed. */
  readonly bufferedBytes: number;
  /** What the process may use; 0: what the machine or the container has. */
  readonly memory: number;
  /** Bytes waiting to be written on one link; then its clients are not read. */
  readonly linkPending: number;
  /** Answers of timed-out requests that a link may still owe; then it is closed. */
  readonly spentSlots: number;
  /** Own links per node, and how long to wait for one. */
  readonly ownLinks: number;
  readonly ownLinkWait: number;
  /** A value that long is never assembled: it is passed on as it arrives. */
  readonly streamFrom: number;
  /** Request in assembly per client. */
  readonly assembly: number;
  readonly inlineLine: number;
  readonly bulk: number;
  readonly arguments: number;
  readonly unauthenticatedArguments: number;
  readonly unauthenticatedBulk: number;
  /** Unsent bytes of a client that gave no password: it is not read, and closed a second later. */
  readonly unauthenticatedUnsent: number;
  readonly replyNesting: number;
  readonly clientsPerListener: number;
  readonly clientsPerAddress: number;
  readonly requestTimeout: number;
  readonly connectTimeout: number;
  /** 0: never. */
  readonly clientIdle: number;
  readonly handshakeTimeout: number;
  /** Per client address and minute; from then on each closes its connection. */
  readonly authFailures: number;
}

export const defaultLimits: Limits = {
  pipelined: 1024,
  replyWindow: 512 * 1024,
  unsentPause: 1024 * 1024,
  unsentClose: 64 * 1024 * 1024,
  slowClient: 60_000,
  bufferedBytes: 256 * 1024 * 1024,
  memory: 0,
  linkPending: 8 * 1024 * 1024,
  spentSlots: 100,
  ownLinks: 256,
  ownLinkWait: 1000,
  streamFrom: 1024 * 1024,
  assembly: 64 * 1024 * 1024,
  inlineLine: 64 * 1024,
  bulk: 512 * 1024 * 1024,
  arguments: 1024 * 1024,
  unauthenticatedArguments: 10,
  unauthenticatedBulk: 16 * 1024,
  unauthenticatedUnsent: 1024,
  replyNesting: 128,
  clientsPerListener: 10_000,
  clientsPerAddress: 1000,
  requestTimeout: 60_000,
  connectTimeout: 2000,
  clientIdle: 0,
  handshakeTimeout: 10_000,
  authFailures: 10,
};
