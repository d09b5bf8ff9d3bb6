import type { CycleHistory, CycleOutcome, CycleView, QuarantineView } from './cycle-view.ts';

export interface RunCycleRequest {
  /** The leader's, compared by every write. */
  readonly fence: number;
  readonly trigger: 'idle' | 'forced' | 'starved';
  /** Ends the step at hand as deferred; the cycle stays open. */
  readonly signal: AbortSignal;
  /**
   * Slices of this length with turns for others between them, for a cycle beside people's work; a step that the end of a
   * slice defers goes on with the next one. Absent: each step runs to its end.
   */
  readonly sliceMs?: number;
}

export type CycleEnd =
  | { readonly kind: 'finished'; readonly cycleId: string; readonly outcome: CycleOutcome }
  /**
   * The signal ended it, or a step made no headway and rests: the cycle stays open. Null: there is none, since the signal
   * came before it was begun.
   */
  | { readonly kind: 'interrupted'; readonly cycleId: string | null }
  /** Somebody else leads by now; nothing more was written. */
  | { readonly kind: 'lost_leadership' };

/** The night: steps kept in a table, each resumable, interruptible and put in quarantine by itself. */
export interface SleepCycle {
  /**
   * Goes on with the open cycle, or begins one. One at a time: a second call while one runs is a bug and throws.
   *
   * @throws CycleRunningError, errors of a database that went away: what was under way is gone on with next time, and
   *   is no failure of the step
   */
  run(request: RunCycleRequest): Promise<CycleEnd>;
  isRunning(): boolean;
  /** The open cycle or else the last one, with the progress of the step at hand from memory. */
  latest(): Promise<CycleView | null>;
  quarantine(): Promise<readonly QuarantineView[]>;
  history(): Promise<CycleHistory>;
  hasOpen(): Promise<boolean>;
}
