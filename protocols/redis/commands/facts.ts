// The shape of one row of table.json and additions.ts: what a server says about a command.

/**
 * Where keys stand, in the terms of Redis' key specifications; index 0 is the command name.
 * Search begins at `index`, or behind the word `keyword` looked for from `from` (negative: from the end
 * backwards). Then either a range up to `last` (from the begin; negative: from the end; `limit` n: the first
 * 1/n of the rest), or a number of keys written `count` behind the begin, the first key `first` behind it.
 */
export interface KeySpec {
  readonly index?: number;
  readonly keyword?: string;
  readonly from?: number;
  readonly last?: number;
  readonly limit?: number;
  readonly count?: number;
  readonly first?: number;
  readonly step?: number;
  /** A shard channel: decides the slot like a key, but is none. */
  readonly channel?: true;
  /** The server says that this specification may miss keys. */
  readonly incomplete?: true;
  /** The position can't be said by a specification (SORT … BY). */
  readonly unknown?: true;
}

export interface CommandFacts {
  /** Lower case; a subcommand as `container|subcommand`. */
  readonly name: string;
  /** Number of arguments with the name; negative: at least that many. */
  readonly arity: number;
  readonly flags: readonly string[];
  readonly keys?: readonly KeySpec[];
  /** Redis' request_policy: how a cluster proxy should ask several shards. */
  readonly request?: string;
  /** Redis' response_policy: how the shards' replies are joined. */
  readonly response?: string;
}
