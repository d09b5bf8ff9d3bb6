import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Database } from '../db/database.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { createSleepCycle } from '../sleep/create-sleep-cycle.ts';
import type { SleepCycle } from '../sleep/sleep-cycle.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';

/** The sleep cycle with its steps. */
export function openSleep(deps: {
  readonly db: Database;
  readonly queue: WorkQueue;
  readonly engine: ConsolidationEngine;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}): SleepCycle {
  return createSleepCycle({ ...deps, steps: [] });
}
