import type { NextDue } from './due-facts.ts';
import type { HoldReason, IdleCountdown } from './idle-facts.ts';
import type { LifecycleState } from './states.ts';

/** The daemon's life as status tells it. Always answered from memory; `stampedAt` says how old the row's part is. */
export interface LifeView {
  readonly state: LifecycleState;
  readonly since: Date;
  readonly reason: string;
  /** When the row was last read. */
  readonly stampedAt: Date;
  /** Whether this process has released everything and only listens. */
  readonly isParked: boolean;
  /** Since the last activity that this database knows of; null: none yet. */
  readonly activityAgeSeconds: number | null;
  readonly requestsInFlight: number;
  readonly countdown: IdleCountdown | null;
  readonly heldBy: HoldReason | null;
  readonly nextDue: NextDue | null;
  readonly paused: { readonly since: Date; readonly until: Date | null } | null;
  readonly isSleepForced: boolean;
  readonly leader: { readonly instanceId: string; readonly isSelf: boolean } | null;
  readonly lastTickAt: Date | null;
  /** Why the last tick, or the last look at the cycle, came to nothing; null: it did not. */
  readonly skipped: string | null;
}

/** What a control message came to, for the person who sent it. */
export interface ControlResult {
  readonly state: LifecycleState;
  /** A sentence. */
  readonly note: string;
}

/** What the control plane can ask of the daemon. None of it is activity (law L11). */
export interface LifeControl {
  /** Stays pending until SLEEP is reached. */
  forceSleep(reason: string | null): Promise<ControlResult>;
  wake(reason: string | null): Promise<ControlResult>;
  /** Null: until `resume`. */
  pause(forMs: number | null): Promise<ControlResult>;
  resume(): Promise<ControlResult>;
}

/** What requests tell the daemon's life (law L11). */
export interface ActivityPort {
  /**
   * A request was authenticated, routed and found to be of the right shape: the clock moves, and what is parked wakes.
   * Resolves at once; the release that it returns is called when the answer is out, whatever came of it.
   */
  begin(what: string): () => void;
}
