/** From awake to asleep. One row a database holds the state (law L14); parking is each process's own. */
export const lifecycleStates = ['wake', 'drowsy', 'sleep', 'hibernation'] as const;

export type LifecycleState = (typeof lifecycleStates)[number];

/** States in which nobody is there. */
export function isAsleep(state: LifecycleState): boolean {
  return state === 'sleep' || state === 'hibernation';
}

/** Why a state was entered: kept on the row and in the event, shown in status. */
export const transitionReasons = [
  /** The row was made. */
  'first_start',
  /** A request was dispatched, or a stream opened (law L11). */
  'activity',
  /** Rows came by plain SQL. */
  'rows_by_sql',
  /** `engramd wake`, or the control message. */
  'wake_command',
  /** Somebody wrote the wake signal and had the supervisor start the daemon. */
  'wake_signal',
  /** A start in SLEEP or HIBERNATION found work that had come meanwhile. */
  'demand_at_boot',
  'idle',
  'quiet_hours',
  'forced',
  /** A forced sleep has done its cycle, or may not do it (a pause). */
  'forced_cycle_over',
] as const;

export type TransitionReason = (typeof transitionReasons)[number];

/** What may happen to the row. Names what happened, not what it leads to: that is the table's to say. */
export type LifecycleEvent =
  /** Somebody wants something: a request, rows by SQL, a wake command, demand at the start. */
  | { readonly kind: 'wanted'; readonly reason: TransitionReason }
  | { readonly kind: 'grew_drowsy'; readonly reason: TransitionReason }
  | { readonly kind: 'fell_asleep'; readonly reason: TransitionReason }
  | { readonly kind: 'hibernated'; readonly reason: TransitionReason };
