import { isConnectionFailure, sqlState } from '../db/errors.ts';
import { RetryLaterError } from '../models/provider-errors.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';

/** Whose trouble it is that a batch did not come to its end. */
export type Failure =
  /** The database cannot be reached; no retry by rows can mend that. */
  | { readonly kind: 'database' }
  /** Something outside that passes; `retryAt` where it says when. No memory is to blame (law L8). */
  | { readonly kind: 'outage'; readonly code: string; readonly retryAt: Date | null }
  /** The batch itself. */
  | { readonly kind: 'content' };

export function failureOf(thrown: unknown): Failure {
  if (isConnectionFailure(thrown)) return { kind: 'database' };
  if (thrown instanceof RetryLaterError) return { kind: 'outage', code: thrown.code, retryAt: thrown.retryAt };
  const code = thrown instanceof EngramdError && thrown.retryable ? thrown.code : busyDatabaseState(thrown);
  return code === undefined ? { kind: 'content' } : { kind: 'outage', code, retryAt: null };
}

/**
 * The SQLSTATE of a server that could not do it now: out of something (class 53), gave up waiting for a lock (55P03) or
 * for the end of a statement (57014), deadlocks beyond all retries (class 40), trouble with its disk (class 58). None of
 * these is the fault of a memory, and none may park one.
 */
function busyDatabaseState(thrown: unknown): string | undefined {
  const state = sqlState(thrown);
  return state !== undefined && /^(?:40|53|58|55P03|57014|25P03)/.test(state) ? state : undefined;
}
