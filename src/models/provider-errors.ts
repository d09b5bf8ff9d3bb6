import { EngramdError } from '../telemetry/engramd-error.ts';

/**
 * What kind of failure an endpoint met. Only `content` is ever the fault of what was sent; none of the others may park a
 * memory (law L8).
 */
export const providerErrorClasses = [
  /** Refused or reset connections, 408, 5xx. */
  'transient',
  /** No answer in time; the prompt has most likely been paid for. */
  'timeout',
  /** 429 that passes by itself. */
  'rate_limit',
  /** No money or no allowance left, until a time or until somebody pays. */
  'quota',
  /** 401, 403. */
  'auth',
  /** Wrong model name, base URL or parameter; HTML instead of JSON. */
  'configuration',
  /** It answers, but three memories in a row got nothing usable. */
  'model_unfit',
  /** This request and no other: too long, or refused by a filter. */
  'content',
] as const;

export type ProviderErrorClass = (typeof providerErrorClasses)[number];

/** An endpoint did not do what it was asked for. Thrown by transports; what leaves the room is one of those below. */
export class ProviderError extends EngramdError {
  readonly code = 'MODEL_PROVIDER';
  readonly errorClass: Exclude<ProviderErrorClass, 'content' | 'model_unfit'>;
  /** How long the server asks to be left alone; null where it does not say. */
  readonly retryAfterMs: number | null;
  readonly status: number | null;
  override readonly retryable = true;

  /** @param message one line for log, status and doctor that ends with what to change; no secret, no text of a memory */
  constructor(
    errorClass: Exclude<ProviderErrorClass, 'content' | 'model_unfit'>,
    message: string,
    options: { readonly retryAfterMs?: number | null; readonly status?: number | null; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.errorClass = errorClass;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.status = options.status ?? null;
  }
}

export type ContentErrorKind =
  /** More than the model's context window holds. */
  | 'too_long'
  /** Cut off at the output limit, also at the larger one. */
  | 'truncated'
  /** Not what was asked for, also after one repair. */
  | 'malformed'
  /** The model or its filter would not. */
  | 'refused';

/** The endpoint works, this request does not. Never retried as it is: a batch is split, a memory alone rests (law L8). */
export class ModelContentError extends EngramdError {
  readonly code = 'MODEL_CONTENT';
  readonly kind: ContentErrorKind;
  /** When the request was sent, by the monotonic clock: only an answer to another one since then puts the blame here. */
  readonly sentAtMs: number;

  constructor(
    kind: ContentErrorKind,
    message: string,
    options: { readonly sentAtMs: number; readonly cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.sentAtMs = options.sentAtMs;
  }
}

/** Something that passes, with the time at which to look again. */
export abstract class RetryLaterError extends EngramdError {
  override readonly retryable = true;
  readonly retryAt: Date;

  constructor(message: string, retryAt: Date, options?: { cause?: unknown }) {
    super(message, options);
    this.retryAt = retryAt;
  }
}

/** The breaker of an endpoint and model is open. Nothing was sent, or what was sent has opened it. */
export class ModelUnavailableError extends RetryLaterError {
  readonly code = 'MODEL_UNAVAILABLE';
  readonly errorClass: Exclude<ProviderErrorClass, 'content'>;

  constructor(
    message: string,
    options: {
      readonly errorClass: Exclude<ProviderErrorClass, 'content'>;
      readonly retryAt: Date;
      readonly cause?: unknown;
    },
  ) {
    super(message, options.retryAt, { cause: options.cause });
    this.errorClass = options.errorClass;
  }
}

/**
 * No day has room for a score of that size, in the half that scores may spend (law L19). Nothing was sent, and midnight
 * changes nothing: fewer memories at once may fit, and one alone needs a larger budget. Nobody else's calls wait for it.
 */
export class ScoreTooLargeError extends EngramdError {
  readonly code = 'SCORE_TOO_LARGE';
}

/** The day's budget does not cover the call (law L19). Nothing was sent. `retryAt` is the next local midnight. */
export class BudgetSpentError extends RetryLaterError {
  readonly code = 'BUDGET_SPENT';
}
