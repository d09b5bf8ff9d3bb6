import { repeatSimilarityOf } from '../consolidation/repeat-similarity.ts';
import type { Embedder } from '../models/embedder.ts';
import { createSleepCycle } from '../sleep/create-sleep-cycle.ts';
import type { CycleDeps } from '../sleep/run-cycle.ts';
import type { SleepCycle } from '../sleep/sleep-cycle.ts';
import { createSleepSteps, type SleepStepsDeps } from '../sleep/steps/create-sleep-steps.ts';
import { createNeighbourLists } from '../store/neighbours/create-neighbour-lists.ts';
import type { StartNeighbourWorker } from '../store/neighbours/neighbour-thread.ts';

export type SleepDeps = Omit<CycleDeps, 'steps'> &
  Omit<SleepStepsDeps, 'neighbours'> & {
    readonly embedder: Embedder;
    readonly startNeighbourWorker: StartNeighbourWorker | undefined;
  };

/** The sleep cycle with its steps, and what ends the builds that nobody waits for. */
export function openSleep(deps: SleepDeps): { readonly cycle: SleepCycle; stop(): Promise<void> } {
  const { startNeighbourWorker, embedder } = deps;
  const neighbours = createNeighbourLists({
    ...deps,
    floorOf: () => repeatSimilarityOf(embedder.model),
    ...(startNeighbourWorker && { startWorker: startNeighbourWorker }),
  });
  return {
    cycle: createSleepCycle({ ...deps, steps: createSleepSteps({ ...deps, neighbours }) }),
    stop: () => neighbours.stop(),
  };
}
