/** What a daemon that is asleep has to be there for. Null: nothing of the kind is ahead. */
export interface DueFacts {
  /** When rows that rest become workable: their next attempt, their bank's quiet, no earlier than the decider is ready. */
  readonly work: Date | null;
  /** When a pause ends by itself. */
  readonly pauseEnd: Date | null;
  /** When the next cycle may begin: cool-down or back-off over, or 48 hours without a clean one. Null while paused. */
  readonly cycle: Date | null;
  /** When quiet hours begin next, where there are any and a cycle may begin then. */
  readonly quietHours: Date | null;
  /** When the next backup is due, and the next snapshot of any bank: neither minds a pause. */
  readonly backup: Date | null;
  readonly snapshot: Date | null;
}

export type DueName = keyof DueFacts;

export interface NextDue {
  readonly at: Date;
  readonly what: DueName;
}
