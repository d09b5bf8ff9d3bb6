export interface WatchdogTimings {
  /** Between two probes. After a miss it is `awakeMs` whatever the pace is. */
  readonly awakeMs: number;
  readonly parkedMs: number;
  /** For connecting and answering together. */
  readonly timeoutMs: number;
  /** Until it has answered once, a miss counts only after this long. */
  readonly graceMs: number;
  /** A timer this much behind its time tells of a process, or a machine, that did not run. */
  readonly lateMs: number;
  readonly stackMs: number;
  /** The window of the breaker, and how long all must be good until it is forgotten. */
  readonly breakerMs: number;
}

export const watchdogTimings: WatchdogTimings = {
  awakeMs: 10_000,
  parkedMs: 30_000,
  timeoutMs: 5000,
  graceMs: 120_000,
  lateMs: 10_000,
  stackMs: 2000,
  breakerMs: 600_000,
};

export type Pace = 'awake' | 'parked';

/** What the thread is told: a new pace, or that the main thread has heard of a socket that is gone. */
export type WatchdogOrder = Pace | 'heard';

/** What the thread is started with. */
export interface WatchdogConfig {
  readonly socketPath: string;
  readonly logPath: string;
  readonly instanceId: string;
  readonly timings: WatchdogTimings;
  /** How systemd is told that all is well, and at least how often; null: nobody is. */
  readonly notify: { readonly intervalMs: number; readonly command: string } | null;
  readonly pace: Pace;
  readonly vitals: SharedArrayBuffer;
}

/** What the thread says. Probes are counted in the vitals, without a message. */
export type WatchdogEvent =
  | { readonly kind: 'socket_gone' }
  | { readonly kind: 'needs_operator'; readonly text: string | null }
  | { readonly kind: 'warning'; readonly text: string };
