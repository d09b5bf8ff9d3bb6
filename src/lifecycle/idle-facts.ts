import type { LifecycleState, TransitionReason } from './states.ts';

/** A count that could not be made is not zero (law L12). */
export type Counted = number | 'unknown';

/** All that the idle decision is made of. Seconds are whole or broken, never negative. */
export interface IdleFacts {
  readonly state: LifecycleState;
  /** Since somebody last woke the daemon: who does gets five seconds whatever else, and the whole wait of the idle. */
  readonly secondsSinceWoken: number;
  /** Since the last activity of any live instance, or the latest start of one. */
  readonly idleSeconds: number;
  /** Requests being answered, over all live instances. */
  readonly requestsInFlight: number;
  /** Drain depth: rows that could be worked on now (due, decider ready, not paused). A wrong key makes it 0. */
  readonly workableRows: Counted;
  /** Jobs in somebody's hands, over all daemons. */
  readonly jobsActive: Counted;
  /** How long a forced sleep has been waiting to reach SLEEP; null: none is. */
  readonly forceAgeSeconds: number | null;
  /** Whether the SLEEP at hand was forced. */
  readonly wasForced: boolean;
  readonly inQuietHours: boolean;
  /** Of the sleep cycle: whether one is under way, or would begin if the state were SLEEP. */
  readonly cycle: 'running' | 'due' | 'none';
}

export interface IdleThresholds {
  readonly drowsyAfterSeconds: number;
  readonly sleepAfterSeconds: number;
  readonly hibernateAfterSeconds: number;
  /** `off`: SLEEP is as deep as it gets. */
  readonly hibernates: boolean;
}

/** Why nothing changes, for status; `idle_wait` is the countdown. */
export type HoldReason =
  | 'idle_wait'
  | 'requests_in_flight'
  | 'jobs_active'
  | 'work_to_do'
  | 'unknown_work'
  | 'just_woken'
  | 'cycle'
  | 'hibernation_off'
  | 'asleep';

export type IdleDecision =
  | {
      readonly to: 'stay';
      readonly heldBy: HoldReason;
      /** When the answer may differ although nothing happens; null: not by itself. */
      readonly nextLookSeconds: number | null;
    }
  | { readonly to: 'drowsy' | 'sleep' | 'hibernation'; readonly reason: TransitionReason };

/** What `status` counts down to; null where nothing is ahead, or something holds it off. */
export interface IdleCountdown {
  readonly to: 'drowsy' | 'sleep' | 'hibernation';
  readonly seconds: number;
}
