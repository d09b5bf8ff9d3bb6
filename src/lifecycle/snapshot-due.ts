/** Applied changes after which the next snapshot is due. */
export const changesPerSnapshot = 500;
/** A bank in which anything has changed is not without a snapshot of it for longer. */
export const snapshotEveryMs = 6 * 3_600_000;

/** Of one clock, and yet read a moment after the other; six hours bear it. */
const believedAheadMs = 60_000;

export interface SnapshotFacts {
  /** When its last snapshot was taken, or the bank was made. */
  readonly since: Date;
  /** Ops applied since then; need not be counted past {@link changesPerSnapshot}. */
  readonly appliedOps: number;
  /** Anything at all was written since: a memory, an observation, a pin. */
  readonly hasChanged: boolean;
}

export interface SnapshotDue {
  readonly at: Date;
  readonly trigger: 'changes' | 'time';
}

/** When a bank is to have its next snapshot, and why. Null: it is as its last one says, however old that is. */
export function snapshotDue(facts: SnapshotFacts, now: Date): SnapshotDue | null {
  if (facts.appliedOps >= changesPerSnapshot) return { at: now, trigger: 'changes' };
  if (!facts.hasChanged) return null;
  // From the future: the clock was set back, and would have to get there again first.
  if (facts.since.getTime() > now.getTime() + believedAheadMs) return { at: now, trigger: 'time' };
  return { at: new Date(facts.since.getTime() + snapshotEveryMs), trigger: 'time' };
}
