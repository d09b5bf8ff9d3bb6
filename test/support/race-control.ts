import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';

type Detail = Readonly<Record<string, unknown>>;
type Visitor = (detail: Detail) => void | Promise<void>;

export interface Hold {
  /** Resolves when somebody stands at the point. */
  readonly reached: Promise<Detail>;
  release(): void;
}

/** Forces an order of events: what reaches a held point waits there until the test lets it go. */
export interface RaceControl extends Racepoints {
  /** Runs at each (matching) visit; what it returns is awaited. */
  at(name: RacepointName, visitor: Visitor): void;
  /** Holds the first visit that matches, and only that one. */
  hold(name: RacepointName, matches?: (detail: Detail) => boolean): Hold;
  /** How often the point was reached. */
  visits(name: RacepointName): number;
  /** Forgets every visitor, hold and count. */
  clear(): void;
}

export function createRaceControl(): RaceControl {
  const visitors = new Map<RacepointName, Visitor[]>();
  const counts = new Map<RacepointName, number>();
  const at = (name: RacepointName, visitor: Visitor) => {
    visitors.set(name, [...(visitors.get(name) ?? []), visitor]);
  };
  return {
    at,
    async reach(name, detail = {}) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      for (const visitor of visitors.get(name) ?? []) await visitor(detail);
    },
    hold(name, matches = () => true) {
      const reached = Promise.withResolvers<Detail>();
      const released = Promise.withResolvers<void>();
      let taken = false;
      at(name, async (detail) => {
        if (taken || !matches(detail)) return;
        taken = true;
        reached.resolve(detail);
        await released.promise;
      });
      return { reached: reached.promise, release: () => released.resolve() };
    },
    visits: (name) => counts.get(name) ?? 0,
    clear() {
      visitors.clear();
      counts.clear();
    },
  };
}
