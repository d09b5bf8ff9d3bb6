import type { SleepStepName } from './step.ts';

export type StepStatus = 'pending' | 'running' | 'done' | 'failed' | 'quarantined';

export type CycleOutcome = 'clean' | 'partial' | 'failed' | 'abandoned';

export interface StepView {
  readonly name: SleepStepName;
  readonly status: StepStatus;
  readonly runs: number;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly done: number | null;
  readonly total: number | null;
  readonly note: string | null;
  readonly error: string | null;
}

export interface CycleView {
  readonly id: string;
  readonly trigger: string;
  readonly isForced: boolean;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly outcome: CycleOutcome | null;
  /** Whether this process is at it now. */
  readonly isRunning: boolean;
  readonly steps: readonly StepView[];
}

export interface QuarantineView {
  readonly step: SleepStepName;
  readonly failures: number;
  /** Null: it has failed, and is tried again. */
  readonly until: Date | null;
  readonly error: string | null;
}

/** What health is judged by: not that a loop is alive, but what came of it. */
export interface CycleHistory {
  readonly started: number;
  /** Clean or partial. */
  readonly completed: number;
  readonly lastCleanAt: Date | null;
  readonly lastGoodAt: Date | null;
  /** End of the last cycle if that failed. */
  readonly lastFailedAt: Date | null;
}
