import type { Database, Tx } from '../db/database.ts';
import { RetryLaterError } from '../models/provider-errors.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Boss } from './boss.ts';
import type { Claim, JobOutcome } from './claim.ts';
import { settleJob } from './settle.ts';
import type { Successor } from './successor.ts';

/** Gives vectors to memories of a bank that have none. Embeds one batch or more, and says how many rows are left. */
export type EmbedPending = (
  bankId: string,
  options: { readonly signal: AbortSignal },
) => Promise<{ readonly embedded: number; readonly remaining: number }>;

export interface EmbedHandlerDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly clock: Clock;
  readonly embedPending: EmbedPending;
  /** False: no further batch; the successor goes on when jobs are handed out again. */
  readonly isHandingOut: () => boolean;
}

/** After this long the job makes room for another bank's; its successor goes on behind them. */
const sliceMs = 60_000;
/** Before an embedder that is down without saying for how long, or rows that it leaves, are looked at again. */
const pauseMs = 60_000;

/** Why a slice could not go on, and for how long. */
interface Stuck {
  readonly message: string;
  readonly pauseMs: number;
}

export function createEmbedHandler(deps: EmbedHandlerDeps): (claim: Claim) => Promise<JobOutcome> {
  const { clock, embedPending } = deps;

  /** @returns the reason of a failure that a later attempt may not have */
  async function embedSlice(claim: Claim): Promise<{ embedded: number; stuck: Stuck | null }> {
    const startedMs = clock.monotonicMs();
    let embedded = 0;
    try {
      while (!claim.signal.aborted && clock.monotonicMs() - startedMs < sliceMs) {
        const batch = await embedPending(claim.payload.bankId, { signal: claim.signal });
        embedded += batch.embedded;
        if (batch.remaining === 0) break;
        if (!deps.isHandingOut()) break;
        if (batch.embedded === 0) return { embedded, stuck: { message: 'the embedder left every row', pauseMs } };
      }
      return { embedded, stuck: null };
    } catch (thrown) {
      if (claim.signal.aborted) return { embedded, stuck: null };
      if (!(thrown instanceof EngramdError && thrown.retryable)) throw thrown;
      // A breaker or a budget knows when (law L19); a length, since jobs go by the database's clock.
      const knownMs = thrown instanceof RetryLaterError ? thrown.retryAt.getTime() - clock.now().getTime() : pauseMs;
      return { embedded, stuck: { message: errorMessage(thrown), pauseMs: Math.max(1000, knownMs) } };
    }
  }

  return async (claim) => {
    const { embedded, stuck } = await embedSlice(claim);
    const outcome: JobOutcome = claim.signal.aborted ? 'aborted' : stuck === null ? 'embedded' : 'deferred';
    const output = stuck === null ? { outcome, embedded } : { outcome, embedded, message: stuck.message };
    await settleJob(deps, claim, {
      output,
      worked: outcome === 'embedded',
      next: (tx) => successor(tx, claim.payload.bankId, stuck?.pauseMs ?? null),
    });
    return outcome;
  };
}

async function successor(tx: Tx, bankId: string, afterMs: number | null): Promise<Successor | null> {
  // Only the flag is of interest here: nothing has to be counted.
  const work = await dueWorkOf(tx, bankId, 1);
  if (!work?.unembedded) return null;
  if (afterMs !== null) return { at: new Date(work.now.getTime() + afterMs), trigger: 'deferred' };
  return { at: work.now, trigger: 'successor' };
}
