import type { LifecycleState } from './states.ts';

/** All that decides whether a sleep cycle begins, or goes on. */
export interface CycleFacts {
  readonly state: LifecycleState;
  readonly now: Date;
  /** The SLEEP at hand was forced: cool-down, back-off and quarantine do not count. */
  readonly wasForced: boolean;
  /** Whether a cycle has ended since the force at hand reached SLEEP: a force does not re-fire. */
  readonly forcedCycleOver: boolean;
  readonly paused: boolean;
  /** One that was begun and not finished: it is gone on with. */
  readonly openCycle: boolean;
  /** End of the last clean or partial cycle. */
  readonly lastGoodAt: Date | null;
  readonly lastCleanAt: Date | null;
  /** End of the last cycle if that failed. */
  readonly lastFailedAt: Date | null;
  /** When this database first saw an engramd: what has never had a clean cycle is counted from there. */
  readonly bornAt: Date;
}

export type CycleSkip = 'awake' | 'paused' | 'cooling_down' | 'backing_off' | 'forced_cycle_over';

export type CycleDecision =
  | {
      readonly kind: 'run';
      /** `starved`: awake, in slices of at most two seconds, which activity does not end. */
      readonly trigger: 'idle' | 'forced' | 'starved';
      readonly resumes: boolean;
    }
  | { readonly kind: 'skip'; readonly why: CycleSkip; readonly until: Date | null };
