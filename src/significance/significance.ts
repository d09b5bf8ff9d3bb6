/** What came of a slice of scoring. */
export interface ScoreReport {
  readonly scored: number;
  /** Due memories that are left in the bank, counted up to 1,000. */
  readonly remaining: number;
}

/** Scores due memories of a bank, a batch a call, and pins what must not be forgotten. */
export interface SignificanceEngine {
  /**
   * One batch: selects, asks the scorer with no connection held, writes score, pin, evictions and events in one
   * transaction. A memory that changed meanwhile keeps its place.
   *
   * @throws retryable errors of the provider: nothing was counted against any memory (law L8)
   */
  scoreBatch(bankId: string, options: { readonly signal: AbortSignal }): Promise<ScoreReport>;
  /** When anything can be scored at all; null: now. */
  readyAt(): Promise<Date | null>;
}
