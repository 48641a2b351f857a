// Files that are written for long and may be moved away under us: whoever holds one asks to be told.

const holders = new Set<() => void>();

/** Calls `reopen` whenever files are to be opened anew (SIGHUP, in each worker). Returns how to take that back. */
export function onReopen(reopen: () => void): () => void {
  holders.add(reopen);
  return () => { holders.delete(reopen); };
}

/** Log rotation happened: everybody opens their file anew. */
export function reopenAll(): void {
  for (const reopen of holders) reopen();
}
