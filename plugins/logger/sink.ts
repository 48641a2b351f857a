/** Where records go. */
export interface Sink {
  /**
   * Takes them all, in order. Resolves to how many it can never take (too long for a datagram); rejects when
   * they should be tried again.
   */
  send(records: readonly string[]): Promise<number>;
  close(): Promise<void>;
}
