/** What the budget weighs: live observations now, and what was retired already. */
export interface LossFigures {
  readonly live: number;
  readonly retiredByRun: number;
  readonly retiredIn90Days: number;
}

/** Share of a bank's live observations that one run may retire, and that 90 days may (law L18). */
export const lossLimits = { perRun: 0.02, per90Days: 0.05 } as const;

/**
 * How many of `wanted` retirements may happen now; the others wait for review. One is always allowed a run, or a bank
 * of ten could never lose a dead observation. The shares are of what lived before the window's losses: measured against
 * a shrinking rest, 2 % a night would still be 99.9 % a pass, which compounded to half a store in a year elsewhere.
 */
export function allowedRetirements(figures: LossFigures, wanted: number): number {
  const beforeRun = figures.live + figures.retiredByRun;
  const before90Days = figures.live + figures.retiredIn90Days;
  const leftInRun = Math.max(1, Math.floor(beforeRun * lossLimits.perRun)) - figures.retiredByRun;
  const leftIn90Days = Math.max(1, Math.floor(before90Days * lossLimits.per90Days)) - figures.retiredIn90Days;
  return Math.max(0, Math.min(wanted, leftInRun, leftIn90Days));
}
