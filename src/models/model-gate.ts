import type { ModelContentError, ModelUnavailableError } from './provider-errors.ts';

/** What a call is made for; a metric label and a column of `cost`, so the set is closed. */
export const modelPurposes = ['consolidate', 'adjudicate', 'rewrite', 'embed', 'check', 'significance'] as const;
export type ModelPurpose = (typeof modelPurposes)[number];

/** A call that is about to be made. */
export interface CallFacts {
  readonly purpose: ModelPurpose;
  /** Whose call it is; null where it is no bank's (a query across none, a check). */
  readonly bankId: string | null;
  /** SHA-256 over everything that the answer depends on. */
  readonly requestHash: Buffer;
  /** Memories and observations whose texts are in the request: erasing one erases the stored answer. */
  readonly subjectIds: readonly string[];
  /** Memories that the call is about; kept with it. Cost per 1,000 counts what became of them instead. */
  readonly memories: number;
  /** UTF-8 bytes of all that is sent, the schema included: no tokenizer makes more tokens than bytes, so this bounds the price. */
  readonly promptBytes: number;
  readonly maxOutputTokens: number;
  /** `query` has somebody waiting for it and goes first. */
  readonly urgent?: boolean;
}

export interface TokenUsage {
  readonly promptTokens: number;
  /** Of the prompt tokens, those that the provider had cached. */
  readonly cachedTokens: number;
  /** Reasoning included. */
  readonly outputTokens: number;
}

/** What a transport brought back. */
export interface Performed<T> {
  readonly value: T;
  /** Null where the server does not say; then the reservation counts as spent. */
  readonly usage: TokenUsage | null;
  /** Kept under the request hash (law L19); undefined keeps nothing. JSON. */
  readonly answer?: unknown;
  /**
   * False: it answered, but not with what was asked for (no JSON, cut off, refused, nothing that the reader takes). Paid for
   * like any other, but no sign that the model is fit, and nothing to hold the failure of another memory against (law L8).
   * Default true.
   */
  readonly isUsable?: boolean;
}

/**
 * The only way to an endpoint: one gate for each endpoint and model (and kind of use). Admits (concurrency, slow start,
 * breaker), reserves, performs, settles, and keeps the answer. Holds no database connection while it performs (law L1).
 */
export interface ModelGate {
  /** The base URL without credentials, path included. */
  readonly endpoint: string;
  readonly model: string;
  /**
   * @throws ModelUnavailableError, BudgetSpentError, ScoreTooLargeError, ModelContentError, or the signal's reason
   */
  run<T>(facts: CallFacts, perform: (signal: AbortSignal) => Promise<Performed<T>>, signal: AbortSignal): Promise<T>;
  /**
   * No request can be made as things are set. Kept as an outage of class `configuration`, so that it is said wherever
   * outages are, and looked at again as seldom as they are. Nothing is sent.
   *
   * @param message one line that ends with what to change
   * @throws ModelUnavailableError where it is out of order already
   */
  misconfigured(message: string, signal: AbortSignal): Promise<ModelUnavailableError>;
  /** An answer kept under this hash; undefined where there is none. */
  storedAnswer(bankId: string, requestHash: Buffer): Promise<unknown>;
  /**
   * Null: a call may be made now. Else when to look again: the breaker is open, or the budget is spent, of which scores have
   * half.
   *
   * @param purpose unset: whatever has all of the budget
   */
  readyAt(purpose?: ModelPurpose): Promise<Date | null>;
  /**
   * Whether the model has answered usably since this process began: then a request that it refuses without saying why is
   * refused for what it says, and not because every one is.
   */
  hasAnswered(): boolean;
  /** Tokens of a text by what this model has charged so far (tokens a byte), a cautious constant before the first answer. */
  tokensOf(text: string): number;
  /**
   * What was asked about one thing alone failed by its content. `memory`: the model has answered about something else
   * since, or since an earlier failure of the same, so that thing is to blame. `model`: it has not; three different ones
   * with nothing usable between them open the breaker as `model_unfit` (law L8). Scores are counted by themselves and have
   * a breaker of their own for that: who scores badly may decide well, and the other way round.
   *
   * @param about what it was: the id of a memory or observation, or whatever names a pair
   * @param purpose unset: one that is no score
   */
  contentFailed(error: ModelContentError, about: string, purpose?: ModelPurpose): Promise<'memory' | 'model'>;
}
