import type { IdleThresholds } from '../../lifecycle/idle-facts.ts';
import type { LifeRow } from '../../store/lifecycle.ts';

/** In quiet hours: see the idle decision. */
const quietIdleSeconds = 30;
/** Two clocks that are slewed differ by this much over half an hour. */
const slackMs = 2000;

/**
 * Whether this process was asked for something too late for a move of the row: after it, or so shortly before it that
 * whoever moved it did not know, since the others are told every ten seconds only. A force minds only what came after it.
 *
 * @param ageMs since the last request; null: none
 */
export function wasAskedTooLately(row: LifeRow, ageMs: number | null, thresholds: IdleThresholds): boolean {
  if (row.state === 'wake' || ageMs === null) return false;
  const beforeMoveMs = ageMs - (row.now.getTime() - row.since.getTime());
  if (row.honouredForceAt !== null || row.forceAgeSeconds !== null) return beforeMoveMs < 0;
  const requiredMs = 1000 * requiredSeconds(row, thresholds);
  return beforeMoveMs < requiredMs - Math.min(slackMs, requiredMs / 2);
}

function requiredSeconds({ state, reason }: LifeRow, thresholds: IdleThresholds): number {
  switch (state) {
    case 'wake':
      return 0;
    case 'drowsy':
      return thresholds.drowsyAfterSeconds;
    case 'sleep':
      return reason === 'quiet_hours'
        ? Math.min(quietIdleSeconds, thresholds.drowsyAfterSeconds)
        : thresholds.sleepAfterSeconds;
    case 'hibernation':
      return thresholds.hibernateAfterSeconds;
  }
}
