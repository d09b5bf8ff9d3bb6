import type { Database, Tx } from '../db/database.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import { runBatchSlice } from './batch-slice.ts';
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
  /** Whether a job of another bank has to wait for this one, or no more are handed out: its successor goes on later. */
  readonly anotherBankWaits: () => Promise<boolean>;
}

export function createEmbedHandler(deps: EmbedHandlerDeps): (claim: Claim) => Promise<JobOutcome> {
  return async (claim) => {
    const { bankId } = claim.payload;
    const { done: embedded, stuck } = await runBatchSlice(deps, claim, {
      leftEveryRow: 'the embedder left every row',
      batch: async () => {
        const batch = await deps.embedPending(bankId, { signal: claim.signal });
        return { done: batch.embedded, remaining: batch.remaining };
      },
    });
    const outcome: JobOutcome = claim.signal.aborted ? 'aborted' : stuck === null ? 'embedded' : 'deferred';
    const output = stuck === null ? { outcome, embedded } : { outcome, embedded, message: stuck.message };
    await settleJob(deps, claim, {
      output,
      worked: outcome === 'embedded',
      next: (tx) => successor(tx, bankId, stuck?.pauseMs ?? null),
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
