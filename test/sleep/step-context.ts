import type { JsonValue, StepContext } from '../../src/sleep/step.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';

export interface TestContext extends StepContext {
  /** What was kept, oldest first. */
  readonly saved: readonly JsonValue[];
  /** What was shown, oldest first. */
  readonly told: readonly { readonly done: number; readonly total: number | null }[];
}

/** What a step is given, without a cycle around it. */
export function stepContext(more: Partial<StepContext> = {}): TestContext {
  const saved: JsonValue[] = [];
  const told: { done: number; total: number | null }[] = [];
  return {
    cycleId: '00000000-0000-7000-8000-000000000001',
    signal: new AbortController().signal,
    checkpoint: null,
    isForced: false,
    save: async (checkpoint) => void saved.push(structuredClone(checkpoint)),
    progress: (done, total) => void told.push({ done, total }),
    racepoints: inertRacepoints,
    saved,
    told,
    ...more,
  };
}
