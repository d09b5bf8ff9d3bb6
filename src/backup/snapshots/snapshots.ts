import type { Database } from '../../db/database.ts';
import { lockBank } from '../../store/apply-locks.ts';
import {
  insertSnapshot,
  lockSnapshots,
  pruneSnapshots,
  type Snapshot,
  type SnapshotTrigger,
} from '../../store/snapshots.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import { SnapshotBankGoneError } from './snapshot-errors.ts';

export interface SnapshotDeps {
  readonly db: Database;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /** UUID version 7: ids sort by time. */
  readonly newId: () => string;
  /** Snapshots that a bank keeps, the new one among them. */
  readonly keep: number;
}

export interface TakenSnapshot {
  readonly snapshot: Snapshot;
  /** Older ones that made room. */
  readonly pruned: readonly string[];
}

/**
 * Belt of the statement that writes the rows: 100,000 take about two seconds. The usual minute would be too short for a
 * bank of millions.
 */
const mostTime = "set local statement_timeout = '15min'";

/**
 * Takes a snapshot of a bank and lets the oldest ones go, in one transaction: after a death at any instant the old set
 * stands or the new one. Writers are not locked out; a deletion waits until it is done (see lockSnapshots).
 *
 * @throws SnapshotBankGoneError; errors of the server
 */
export async function takeSnapshot(
  deps: SnapshotDeps,
  request: { readonly bankId: string; readonly trigger: SnapshotTrigger },
): Promise<TakenSnapshot> {
  const { db, metrics, racepoints, newId, keep } = deps;
  const { bankId, trigger } = request;
  try {
    const taken = await db.tx({ label: 'snapshot' }, async (tx) => {
      await tx.query(mostTime);
      // Before the lock of deletions: who deletes the bank holds it first, too (law L4).
      if (!(await lockBank(tx, bankId, 'shared'))) {
        throw new SnapshotBankGoneError(`there is no bank ${JSON.stringify(bankId)}`);
      }
      await lockSnapshots(tx, bankId);
      const snapshot = await insertSnapshot(tx, bankId, { id: newId(), trigger });
      const pruned = await pruneSnapshots(tx, bankId, { id: snapshot.id, keep });
      await racepoints.reach('snapshot:before-commit', { bankId, id: snapshot.id });
      return { snapshot, pruned };
    });
    metrics.snapshots.inc({ outcome: 'taken' });
    return taken;
  } catch (thrown) {
    if (!(thrown instanceof SnapshotBankGoneError)) metrics.snapshots.inc({ outcome: 'failed' });
    throw thrown;
  }
}
