import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Database, Tx } from '../db/database.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { Boss } from './boss.ts';
import type { Claim, JobOutcome } from './claim.ts';
import { dueAt, dueAtOnceCount } from './due-at.ts';
import { isImmediate } from './payload.ts';
import { settleJob } from './settle.ts';
import { type Successor, successorOf } from './successor.ts';

export interface ConsolidateHandlerDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly engine: Pick<ConsolidationEngine, 'runSlice'>;
  readonly racepoints: Racepoints;
  /** Whether a job of another bank has to wait for this one. */
  readonly anotherBankWaits: () => Promise<boolean>;
}

/** A job this close to its time is not sent away again: the slice itself takes longer to start. */
const toleranceMs = 250;

/** One job: a slice of its bank, or, where it comes before its time, a later job in its place. */
export function createConsolidateHandler(deps: ConsolidateHandlerDeps): (claim: Claim) => Promise<JobOutcome> {
  const { db, engine, racepoints } = deps;

  return async (claim) => {
    const { bankId, trigger } = claim.payload;
    if (!isImmediate(trigger) && !(await isDue(db, bankId))) {
      await settleJob(deps, claim, { output: { outcome: 'early' }, worked: false, next: (tx) => postponed(tx, claim) });
      return 'early';
    }
    const report = await engine.runSlice({
      bankId,
      trigger,
      signal: claim.signal,
      anotherBankWaits: deps.anotherBankWaits,
    });
    const output = { outcome: report.outcome, runId: report.runId, counts: report.counts };
    await racepoints.reach('slice:before-complete', { bankId, jobId: claim.id });
    await settleJob(deps, claim, {
      output,
      worked: report.outcome !== 'deferred' && report.outcome !== 'aborted',
      next: async (tx) => successorOf(report, await dueWorkOf(tx, bankId, dueAtOnceCount)),
    });
    await racepoints.reach('slice:after-complete', { bankId, jobId: claim.id });
    return report.outcome;
  };
}

async function isDue(db: Database, bankId: string): Promise<boolean> {
  const work = await dueWorkOf(db, bankId, dueAtOnceCount);
  const at = work && dueAt(work);
  return work !== null && at !== null && at.getTime() <= work.now.getTime() + toleranceMs;
}

async function postponed(tx: Tx, claim: Claim): Promise<Successor | null> {
  const work = await dueWorkOf(tx, claim.payload.bankId, dueAtOnceCount);
  const at = work && dueAt(work);
  return at && { at, trigger: claim.payload.trigger };
}
