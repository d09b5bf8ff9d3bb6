/** A near row; same bank and same scope as the one it is near to. */
export interface Neighbour {
  readonly id: string;
  /** Cosine, -1 to 1. */
  readonly similarity: number;
}

/**
 * The nearest neighbours of every live observation of a bank, as they were when the lists were built: rows that came or
 * changed since are not in them, rows that are gone may be. Whoever uses a pair reads both rows again.
 */
export interface ReadonlyNeighbours {
  readonly rows: number;
  /** Every row that was looked at, those without a neighbour among them; by id. */
  ids(): readonly string[];
  /** At most eight, nearest first, ties by id; none for an id that was not looked at. */
  nearest(id: string): readonly Neighbour[];
  readonly isComplete: boolean;
  /** Of the rows' `change_xid`s: whatever is below was seen. Text, compared by the server alone. */
  readonly seenXid: string;
}

/**
 * The neighbour lists of each bank: built once a database, in a thread of their own, saved, and loaded by every other
 * daemon and caller (law L15). What is saved is handed out as it is for as long as the bank has about the same size;
 * lists that are too old are handed out too, and one rebuild is begun behind them.
 */
export interface NeighbourLists {
  /**
   * Waits for the build where nothing is saved yet.
   *
   * @param options.signal ends this caller's wait; a build that nobody else waits for ends with it, and saves nothing.
   * @returns null if there cannot be lists: the model was never used in this database, or the bank's vectors do not fit
   *   into memory (said once in the log). A bank without live observations has lists without rows.
   * @throws the signal's reason if it aborts; BuildWaitTimeoutError (retryable) if others build for longer than is
   *   waited; HeldConnectionError if the caller holds a connection.
   */
  of(bankId: string, modelId: string, options: { readonly signal: AbortSignal }): Promise<ReadonlyNeighbours | null>;
}
