/**
 * What the leader does at its time whatever else goes on: awake, asleep, paused, and as maintenance out of hibernation,
 * which is neither activity nor a wake. One of a name at a time, beside everything else.
 */
export interface Chore {
  readonly name: 'backup' | 'snapshot';
  /**
   * When it is due next, by the clock of the database; in the past: now. Null: never by itself. Asked at each tick of the
   * leader, so it must be cheap. @throws errors of the server: the tick goes on without it (law L12)
   */
  nextAt(now: Date): Promise<Date | null>;
  /** Does it. What it came to is its own to keep: a failure that is thrown is logged and counted, and no more. */
  run(signal: AbortSignal): Promise<void>;
  /** Whether what it threw says only that another process is at it, which is no failure. Absent: it never does. */
  isElsewhere?(thrown: unknown): boolean;
}
