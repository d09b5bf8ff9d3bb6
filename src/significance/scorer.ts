/** 0 nothing worth keeping in mind, 1 of some use, 2 matters, 3 must not be forgotten: pinned by itself. */
export type Significance = 0 | 1 | 2 | 3;

export function isSignificance(value: unknown): value is Significance {
  return value === 0 || value === 1 || value === 2 || value === 3;
}

export interface ScorableMemory {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly context: string | null;
  readonly kind: 'world' | 'experience';
  readonly tags: readonly string[];
  readonly occurredStart: Date | null;
  readonly mentionedAt: Date | null;
  /** What was said before it, oldest first; null where none was given. */
  readonly dialogue: unknown;
}

export type ScoreAnswer =
  | { readonly kind: 'scored'; readonly significance: Significance; readonly entities: readonly string[] }
  /** No use as it stands: a score of 7, "high", NaN, or no answer for this memory. Asked again later (law L5). */
  | { readonly kind: 'refused'; readonly why: string }
  /** Nothing usable, and the model may be to blame: asked again later, and nothing is counted (law L8). */
  | { readonly kind: 'postponed'; readonly why: string };

/** Says how much memories matter. Holds no connection while it thinks (law L1). */
export interface Scorer {
  readonly name: 'rules' | 'llm';
  /** What scores were made by, e.g. `rules/1` or `llm/gpt-5-mini/1`: kept with each event. */
  readonly scoredBy: string;
  /** Most memories at once. */
  readonly batchSize: number;
  /** When it can be asked again: its breaker, its budget; null: now. */
  readyAt(): Promise<Date | null>;
  /**
   * One answer for each memory, in their order.
   *
   * @throws RetryLaterError and other retryable errors: nobody is to blame, and no memory loses an attempt (law L8)
   */
  score(
    bankId: string,
    memories: readonly ScorableMemory[],
    options: { readonly signal: AbortSignal },
  ): Promise<readonly ScoreAnswer[]>;
}
