import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';

/** Racepoints at which a test does something, or fails the code that reaches them. */
export function createHandRacepoints(): Racepoints & {
  on(name: RacepointName, act: () => void | Promise<void>): void;
  clear(): void;
} {
  const acts = new Map<RacepointName, () => void | Promise<void>>();
  return {
    on: (name, act) => void acts.set(name, act),
    clear: () => acts.clear(),
    async reach(name) {
      await acts.get(name)?.();
    },
  };
}
