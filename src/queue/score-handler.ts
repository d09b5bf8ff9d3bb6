import type { Database } from '../db/database.ts';
import type { SignificanceEngine } from '../significance/significance.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import { type BatchSliceEnd, runBatchSlice } from './batch-slice.ts';
import type { Boss } from './boss.ts';
import type { Claim, JobOutcome } from './claim.ts';
import { quietMs, type ScoreFacts, scoresAt, scoresAtOnceCount } from './due-at.ts';
import { isImmediate } from './payload.ts';
import { settleJob } from './settle.ts';
import type { Successor } from './successor.ts';

export interface ScoreHandlerDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly clock: Clock;
  readonly significance: Pick<SignificanceEngine, 'scoreBatch'>;
  /** Whether a job of another bank has to wait for this one, or no more are handed out: its successor goes on later. */
  readonly anotherBankWaits: () => Promise<boolean>;
}

/** A job this close to its time is not sent away again. */
const toleranceMs = 250;

/** One job: a minute of batches of its bank, or, where it comes before its time, a later job in its place. */
export function createScoreHandler(deps: ScoreHandlerDeps): (claim: Claim) => Promise<JobOutcome> {
  const { db, boss, significance } = deps;

  return async (claim) => {
    const { bankId, trigger } = claim.payload;
    if (!isImmediate(trigger) && !isDue(await dueWorkOf(db, bankId, scoresAtOnceCount))) {
      await settleJob({ db, boss }, claim, {
        output: { outcome: 'early' },
        worked: false,
        next: async (tx) => {
          const work = await dueWorkOf(tx, bankId, scoresAtOnceCount);
          const at = work && scoresAt(work);
          return at && { at, trigger };
        },
      });
      return 'early';
    }
    const end = await runBatchSlice(deps, claim, {
      leftEveryRow: 'a batch came to no score at all',
      batch: async () => {
        const report = await significance.scoreBatch(bankId, { signal: claim.signal });
        return { done: report.scored, remaining: report.remaining };
      },
    });
    const outcome: JobOutcome = claim.signal.aborted ? 'aborted' : end.stuck === null ? 'scored' : 'deferred';
    const told = { outcome, scored: end.done };
    await settleJob({ db, boss }, claim, {
      output: end.stuck === null ? told : { ...told, message: end.stuck.message },
      worked: outcome === 'scored',
      next: async (tx) => scoreSuccessorOf(end, await dueWorkOf(tx, bankId, scoresAtOnceCount)),
    });
    return outcome;
  };
}

function isDue(work: ScoreFacts | null): boolean {
  const at = work && scoresAt(work);
  return work !== null && at !== null && at.getTime() <= work.now.getTime() + toleranceMs;
}

/**
 * The job that follows a slice, from the rows as they stand in the transaction that completes it.
 *
 * @param work null where the bank is gone
 */
export function scoreSuccessorOf(
  end: Pick<BatchSliceEnd, 'isDrained' | 'stuck'>,
  work: ScoreFacts | null,
): Successor | null {
  const at = work && scoresAt(work);
  if (work === null || at === null) return null;
  const inMs = (ms: number) => new Date(Math.max(at.getTime(), work.now.getTime() + ms));
  if (end.stuck !== null) return { at: inMs(end.stuck.pauseMs), trigger: 'deferred' };
  if (work.unscored === 0) return { at, trigger: 'scheduled' };
  // The slice saw nothing left. Should these be rows that it never takes, a pause keeps the pair from spinning.
  if (end.isDrained) return { at: inMs(quietMs), trigger: 'scheduled' };
  return { at: work.now, trigger: 'successor' };
}
