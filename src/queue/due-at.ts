/** A bank is due after this long without writes: what is said in one breath is consolidated together. */
export const quietMs = 30_000;
/** And at the latest this long after its oldest due row, so that an agent that never pauses cannot starve it. */
export const longestWaitMs = 15 * 60_000;
/** And at once with this many due rows: a burst is over when it fills the batches of a slice. */
export const dueAtOnceCount = 500;

export interface DueFacts {
  /** The database's clock, as all other times here. */
  readonly now: Date;
  /** Rows that may be worked on now; counting may stop at {@link dueAtOnceCount}. */
  readonly due: number;
  /** Observations that have to be written again; counting may stop there too. */
  readonly replans: number;
  /** Since when the oldest of both is due. */
  readonly oldestDueAt: Date | null;
  /** The newest write among both. */
  readonly lastWriteAt: Date | null;
  /** When the next row becomes due that is not due yet. */
  readonly nextAttemptAt: Date | null;
}

/**
 * When a job of the bank may start: never in the past, `now` where it is overdue.
 *
 * @returns null where the bank has no work, now or later
 */
export function dueAt(facts: DueFacts): Date | null {
  const nowMs = facts.now.getTime();
  const candidates: number[] = [];
  if (facts.due >= dueAtOnceCount || facts.replans >= dueAtOnceCount) {
    candidates.push(nowMs);
  } else if (facts.due > 0 || facts.replans > 0) {
    const oldestMs = facts.oldestDueAt?.getTime() ?? nowMs;
    const lastWriteMs = facts.lastWriteAt?.getTime() ?? oldestMs;
    candidates.push(Math.min(lastWriteMs + quietMs, oldestMs + longestWaitMs));
  }
  if (facts.nextAttemptAt) candidates.push(facts.nextAttemptAt.getTime());
  return candidates.length === 0 ? null : new Date(Math.max(nowMs, Math.min(...candidates)));
}

/** Whether a slice would find something now, quiet or not. */
export function hasDueWork(facts: DueFacts): boolean {
  return facts.due > 0 || facts.replans > 0;
}
