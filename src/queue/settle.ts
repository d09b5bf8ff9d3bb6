import type { Database, Tx } from '../db/database.ts';
import { inertRacepoints, type Racepoints } from '../telemetry/racepoints.ts';
import type { Boss } from './boss.ts';
import type { Claim } from './claim.ts';
import { deadLetters } from './job-rows.ts';
import type { Successor } from './successor.ts';

export interface Ending {
  /** Kept with the job and shown by `jobs list`: counts and outcomes, never a text. */
  readonly output: object;
  /** Whether the job did its work, so that whatever had been wrong with the bank is not any more. */
  readonly worked: boolean;
  /** Decides the successor from the rows as they stand. */
  readonly next: (tx: Tx) => Promise<Successor | null>;
}

export interface SettleDeps {
  readonly db: Database;
  readonly boss: Boss;
  /** Left out where only slices are of interest. */
  readonly racepoints?: Racepoints;
}

/**
 * Completes a job and sends what follows it, both or neither.
 *
 * The rows are read after the job is completed, in the same transaction. A writer that hinted while the job was active
 * was told that there is one; it had committed by then, so its rows are seen here. One that hints from now on waits
 * for this transaction and then finds the successor, or sends its own job.
 *
 * @returns the successor
 * @throws LostClaimError: nothing was changed
 */
export async function settleJob(deps: SettleDeps, claim: Claim, ending: Ending): Promise<Successor | null> {
  const { db, boss, racepoints = inertRacepoints } = deps;
  const { bankId } = claim.payload;
  return db.tx({ label: 'settle-job' }, async (tx) => {
    await boss.complete(tx, claim.queue, claim, ending.output);
    const successor = await ending.next(tx);
    if (successor) await boss.send(tx, claim.queue, { bankId, trigger: successor.trigger }, successor.at);
    if (ending.worked) {
      const dead = (await deadLetters(tx, claim.queue, bankId)).get(bankId);
      if (dead) await boss.deleteDeadLetters(tx, dead.ids);
    }
    await racepoints.reach('slice:completed-uncommitted', { bankId, jobId: claim.id });
    return successor;
  });
}
