import type { Racepoints } from '../telemetry/racepoints.ts';

/** In their order. New ones go where they belong: a resumed cycle finds its steps by name. */
export const sleepStepNames = ['drain', 'score', 'dedup', 'contradictions', 'integrity', 'digest'] as const;

export type SleepStepName = (typeof sleepStepNames)[number];

/** A database may know steps that this build does not. */
export function isSleepStepName(name: string): name is SleepStepName {
  return (sleepStepNames as readonly string[]).includes(name);
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What a step is given, and how it says how far it is. */
export interface StepContext {
  readonly cycleId: string;
  /** Aborted: return `deferred` within two seconds. Activity, a pause, a stop, or the end of a slice. */
  readonly signal: AbortSignal;
  /** What the last `save` of this step in this cycle kept; null at its first run. */
  readonly checkpoint: JsonValue;
  readonly isForced: boolean;
  /** Committed with the leader's fence. @throws LeadershipLostError */
  save(checkpoint: JsonValue): Promise<void>;
  /** Shown in status at once, kept with the next save. `total` null: nobody knows. */
  progress(done: number, total: number | null, note?: string): void;
  readonly racepoints: Racepoints;
}

export type StepEnd =
  /** `note`: what came of it, in a few words, for status and the digest. */
  | { readonly kind: 'done'; readonly note?: string }
  /** Interrupted: goes on later from its checkpoint. Not a failure. */
  | { readonly kind: 'deferred' };

/** One part of a night. Idempotent: what was done and not yet kept when the process died is done again. */
export interface SleepStep {
  readonly name: SleepStepName;
  run(context: StepContext): Promise<StepEnd>;
}
