import { RetryLaterError } from '../models/provider-errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Claim } from './claim.ts';

/** What one batch came to: rows that it is done with, rows that are left. */
export interface BatchEnd {
  readonly done: number;
  readonly remaining: number;
}

/** Why a slice could not go on, and for how long. */
export interface Stuck {
  readonly message: string;
  readonly pauseMs: number;
}

export interface BatchSliceEnd {
  readonly done: number;
  /** Nothing was left after the last batch. */
  readonly isDrained: boolean;
  /** Nobody's failure, and one that a later attempt may not have. */
  readonly stuck: Stuck | null;
}

/** After this long the job makes room for another bank's; its successor goes on behind them. */
const sliceMs = 60_000;
/** Before an outside service that is down without saying for how long, or rows that it leaves, are looked at again. */
const pauseMs = 60_000;
/** No failure outside is asked about more often than this, whatever time it names. */
const shortestPauseMs = 1000;

/** Batch after batch of one bank, until nothing is left, time is up, or it has to make room. */
export async function runBatchSlice(
  deps: { readonly clock: Clock; readonly anotherBankWaits: () => Promise<boolean> },
  claim: Claim,
  work: { readonly batch: () => Promise<BatchEnd>; readonly leftEveryRow: string },
): Promise<BatchSliceEnd> {
  const { clock } = deps;
  const startedMs = clock.monotonicMs();
  let done = 0;
  try {
    while (!claim.signal.aborted && clock.monotonicMs() - startedMs < sliceMs) {
      const batch = await work.batch();
      done += batch.done;
      if (batch.remaining === 0) return { done, isDrained: true, stuck: null };
      if (await deps.anotherBankWaits()) break;
      if (batch.done === 0) return { done, isDrained: false, stuck: { message: work.leftEveryRow, pauseMs } };
    }
    return { done, isDrained: false, stuck: null };
  } catch (thrown) {
    if (claim.signal.aborted) return { done, isDrained: false, stuck: null };
    if (!(thrown instanceof EngramdError && thrown.retryable)) throw thrown;
    // A breaker or a budget knows when (law L19); a length, since jobs go by the database's clock.
    const knownMs = thrown instanceof RetryLaterError ? thrown.retryAt.getTime() - clock.now().getTime() : pauseMs;
    const stuck = { message: errorMessage(thrown), pauseMs: Math.max(shortestPauseMs, knownMs) };
    return { done, isDrained: false, stuck };
  }
}
