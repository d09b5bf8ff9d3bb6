import { changesPerSnapshot, type SnapshotDue, snapshotDue } from '../../lifecycle/snapshot-due.ts';
import { changedSinceSnapshot } from '../../store/snapshots.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { SnapshotBankGoneError } from './snapshot-errors.ts';
import { type SnapshotDeps, takeSnapshot } from './snapshots.ts';

/** As the leader's tick wants it (daemon/life/chore.ts), which this room does not know. */
export interface SnapshotChore {
  readonly name: 'snapshot';
  nextAt(now: Date): Promise<Date | null>;
  run(signal: AbortSignal): Promise<void>;
}

export interface SnapshotChoreDeps extends SnapshotDeps {
  readonly log: Log;
}

/**
 * Snapshots of every bank at their time. It asks the tables and no job: a bank that was written to is found whether
 * anything consolidates it or not.
 */
export function createSnapshotChore(deps: SnapshotChoreDeps): SnapshotChore {
  const { db, metrics, log } = deps;
  /** A bank that cannot be snapshotted would keep the leader at it, tick after tick. */
  const restingUntil = new Map<string, Date>();

  return {
    name: 'snapshot',
    async nextAt(now) {
      const { banks } = await dueBanks(now);
      const times = banks.map((bank) => bank.due.at.getTime());
      return times.length === 0 ? null : new Date(Math.min(...times));
    },
    async run(signal) {
      const { now, banks } = await dueBanks();
      let failure: { readonly thrown: unknown } | undefined;
      for (const { bankId, due } of banks) {
        if (signal.aborted) return;
        if (due.at > now) continue;
        try {
          const { snapshot, pruned } = await takeSnapshot(deps, { bankId, trigger: due.trigger });
          restingUntil.delete(bankId);
          log.info({ bankId, snapshotId: snapshot.id, trigger: due.trigger, pruned: pruned.length }, 'snapshot taken');
        } catch (thrown) {
          if (thrown instanceof SnapshotBankGoneError) continue;
          restingUntil.set(bankId, new Date(now.getTime() + restMs));
          log.warn({ bankId, error: errorMessage(thrown) }, 'a snapshot failed; it is tried again in ten minutes');
          failure ??= { thrown };
        }
      }
      await dueBanks();
      if (failure) throw failure.thrown;
    },
  };

  async function dueBanks(asOf?: Date): Promise<{ readonly now: Date; readonly banks: readonly DueBank[] }> {
    const read = await changedSinceSnapshot(db, { countUpTo: changesPerSnapshot });
    const now = asOf ?? read.now;
    // As fresh as the bank that was written to and is furthest from its snapshot; what has not changed is fresh.
    const oldest = Math.min(now.getTime(), ...read.banks.map((bank) => bank.since.getTime()));
    metrics.lastSnapshot.set(oldest / 1000);
    const banks = read.banks.flatMap(({ bankId, since, appliedOps }) => {
      const due = snapshotDue({ since, appliedOps, hasChanged: true }, now);
      if (due === null) return [];
      const rest = restingUntil.get(bankId);
      return [{ bankId, due: rest !== undefined && rest > due.at ? { ...due, at: rest } : due }];
    });
    return { now, banks };
  }
}

interface DueBank {
  readonly bankId: string;
  readonly due: SnapshotDue;
}

const restMs = 10 * 60_000;
