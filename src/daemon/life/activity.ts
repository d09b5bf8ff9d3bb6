import type { ActivityPort } from '../../lifecycle/life-view.ts';
import type { Clock } from '../../telemetry/clock.ts';

/** What this process knows of the requests that it was asked. */
export interface Activity extends ActivityPort {
  /** Since the last request was dispatched; null: none since the start. */
  ageMs(): number | null;
  /** Being answered now. */
  inFlight(): number;
  /** How often the clock has moved. */
  count(): number;
}

/**
 * Requests move the clock as they are dispatched; that they end does not (law L11). `onBegin` is told of each, at once.
 */
export function createActivity(clock: Clock, onBegin: () => void): Activity {
  let lastMs: number | null = null;
  let inFlight = 0;
  let count = 0;
  return {
    begin() {
      lastMs = clock.monotonicMs();
      inFlight += 1;
      count += 1;
      let isOver = false;
      onBegin();
      return () => {
        if (isOver) return;
        isOver = true;
        inFlight -= 1;
      };
    },
    ageMs: () => (lastMs === null ? null : Math.max(0, clock.monotonicMs() - lastMs)),
    inFlight: () => inFlight,
    count: () => count,
  };
}
