import type { Counted } from '../../lifecycle/idle-facts.ts';
import { isAsleep } from '../../lifecycle/states.ts';
import type { LifeRow } from '../../store/lifecycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { HandOutSwitch } from './hand-out.ts';

/** Rows that rested and are due again while nobody is there: worked off without leaving the state. */
export interface Maintenance {
  /** Begins, goes on or ends, by what the leader has found. */
  look(found: {
    readonly row: LifeRow;
    readonly workableRows: Counted;
    readonly jobsActive: Counted;
    readonly mayRun: boolean;
  }): void;
  /** Another daemon leads: what is left is its to do. */
  end(row: LifeRow): void;
  isRunning(): boolean;
}

/** What is left then waits for the next time. */
const longestMs = 600_000;
const graceMs = 5000;

export function createMaintenance(deps: { readonly handOut: HandOutSwitch; readonly clock: Clock }): Maintenance {
  const { handOut, clock } = deps;
  let sinceMs: number | null = null;

  function hasWork({ row, workableRows, jobsActive }: Parameters<Maintenance['look']>[0]): boolean {
    if (isForbidden(row) || (sinceMs !== null && clock.monotonicMs() - sinceMs >= longestMs)) return false;
    const isDue = workableRows !== 'unknown' && workableRows > 0;
    return isDue || (sinceMs !== null && jobsActive !== 0);
  }

  function end(row: LifeRow): void {
    if (sinceMs === null) return;
    sinceMs = null;
    if (isAsleep(row.state)) handOut.close(graceMs);
  }

  return {
    end,
    look(found) {
      if (found.mayRun && isAsleep(found.row.state) && hasWork(found)) {
        sinceMs ??= clock.monotonicMs();
        handOut.open();
      } else {
        end(found.row);
      }
    },
    isRunning: () => sinceMs !== null,
  };
}

/** A pause hands out nothing; what a forced sleep left waits for somebody who comes, or for the next cycle. */
export function isForbidden(row: LifeRow): boolean {
  return row.pause !== null || row.forceAgeSeconds !== null || row.honouredForceAt !== null;
}
