import type { ConsolidationEngine } from '../consolidation/engine.ts';
import { repeatSimilarityOf } from '../consolidation/repeat-similarity.ts';
import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { createSleepCycle } from '../sleep/create-sleep-cycle.ts';
import type { SleepCycle } from '../sleep/sleep-cycle.ts';
import { createContradictionsStep } from '../sleep/steps/contradictions-step.ts';
import { createDedupStep } from '../sleep/steps/dedup-step.ts';
import { createDigestStep } from '../sleep/steps/digest-step.ts';
import { createDrainStep } from '../sleep/steps/drain-step.ts';
import { createIntegrityStep } from '../sleep/steps/integrity-step.ts';
import { createNeighbourLists } from '../store/neighbours/create-neighbour-lists.ts';
import type { StartNeighbourWorker } from '../store/neighbours/neighbour-thread.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';

/** The sleep cycle with its steps, and what ends the builds that nobody waits for. */
export function openSleep(deps: {
  readonly db: Database;
  readonly queue: WorkQueue;
  readonly engine: ConsolidationEngine;
  readonly embedder: Embedder;
  readonly instanceId: string;
  readonly startNeighbourWorker: StartNeighbourWorker | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}): { readonly cycle: SleepCycle; stop(): Promise<void> } {
  const { startNeighbourWorker, embedder } = deps;
  const neighbours = createNeighbourLists({
    ...deps,
    floorOf: () => repeatSimilarityOf(embedder.model),
    ...(startNeighbourWorker && { startWorker: startNeighbourWorker }),
  });
  const cycle = createSleepCycle({
    ...deps,
    steps: [
      createDrainStep(deps),
      createDedupStep({ ...deps, neighbours }),
      createContradictionsStep(deps),
      createIntegrityStep(deps),
      createDigestStep(deps),
    ],
  });
  return { cycle, stop: () => neighbours.stop() };
}
