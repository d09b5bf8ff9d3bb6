/** A bank is due after this long without writes: what is said in one breath is consolidated together. */
export const quietMs = 30_000;
/** And at the latest this long after its oldest due row, so that an agent that never pauses cannot starve it. */
export const longestWaitMs = 15 * 60_000;
/** And at once with this many due rows: a burst is over when it fills the batches of a slice. */
export const dueAtOnceCount = 500;

/** Scores are asked for a batch a call: with this many there is a full one. */
export const scoresAtOnceCount = 12;
/** What matters is to be pinned while the talk about it goes on: sooner than consolidation, whose batches are dearer. */
export const longestScoreWaitMs = 5 * 60_000;

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
  return whenQuiet({
    now: facts.now,
    isAny: hasDueWork(facts),
    isBurst: facts.due >= dueAtOnceCount || facts.replans >= dueAtOnceCount,
    oldestAt: facts.oldestDueAt,
    lastWriteAt: facts.lastWriteAt,
    nextAt: facts.nextAttemptAt,
    longestMs: longestWaitMs,
  });
}

export interface ScoreFacts {
  /** The database's clock, as all other times here. */
  readonly now: Date;
  /** Memories that may be scored now; counting may stop at {@link scoresAtOnceCount}. */
  readonly unscored: number;
  readonly oldestUnscoredAt: Date | null;
  readonly lastUnscoredWriteAt: Date | null;
  readonly nextScoreAt: Date | null;
}

/**
 * When memories of the bank may be scored: never in the past.
 *
 * @returns null where none waits for its score
 */
export function scoresAt(facts: ScoreFacts): Date | null {
  return whenQuiet({
    now: facts.now,
    isAny: facts.unscored > 0,
    isBurst: facts.unscored >= scoresAtOnceCount,
    oldestAt: facts.oldestUnscoredAt,
    lastWriteAt: facts.lastUnscoredWriteAt,
    nextAt: facts.nextScoreAt,
    longestMs: longestScoreWaitMs,
  });
}

function whenQuiet(facts: {
  readonly now: Date;
  readonly isAny: boolean;
  readonly isBurst: boolean;
  readonly oldestAt: Date | null;
  readonly lastWriteAt: Date | null;
  readonly nextAt: Date | null;
  readonly longestMs: number;
}): Date | null {
  const nowMs = facts.now.getTime();
  const candidates: number[] = [];
  if (facts.isBurst) {
    candidates.push(nowMs);
  } else if (facts.isAny) {
    const oldestMs = facts.oldestAt?.getTime() ?? nowMs;
    const lastWriteMs = facts.lastWriteAt?.getTime() ?? oldestMs;
    candidates.push(Math.min(lastWriteMs + quietMs, oldestMs + facts.longestMs));
  }
  if (facts.nextAt) candidates.push(facts.nextAt.getTime());
  return candidates.length === 0 ? null : new Date(Math.max(nowMs, Math.min(...candidates)));
}

/** Whether a slice would find something now, quiet or not. */
export function hasDueWork(facts: DueFacts): boolean {
  return facts.due > 0 || facts.replans > 0;
}
