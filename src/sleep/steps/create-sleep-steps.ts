import type { ConsolidationEngine } from '../../consolidation/engine.ts';
import type { Database } from '../../db/database.ts';
import type { NeighbourLists } from '../../store/neighbours/neighbour-lists.ts';
import { readServerFacts } from '../../store/server-facts.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { DrainPort } from '../drain-port.ts';
import type { SleepStep } from '../step.ts';
import { createContradictionsStep } from './contradictions-step.ts';
import { createDedupStep } from './dedup-step.ts';
import { createDigestStep } from './digest-step.ts';
import { createDrainStep } from './drain-step.ts';
import { createIntegrityStep } from './integrity-step.ts';
import { createScoreStep } from './score-step.ts';

export interface SleepStepsDeps {
  readonly db: Database;
  readonly queue: DrainPort;
  readonly engine: Pick<ConsolidationEngine, 'findContradictions' | 'sweepDuplicates'>;
  readonly neighbours: NeighbourLists;
  /** See the score step. */
  readonly keepPinCaps: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  readonly log: Log;
  readonly newId: () => string;
}

/** The night, in its order: what is new, what matters, what is the same, what cannot be, what is broken, what to tell. */
export function createSleepSteps(deps: SleepStepsDeps): readonly SleepStep[] {
  const databaseNow = async () => (await readServerFacts(deps.db)).now;
  return [
    createDrainStep({ ...deps, databaseNow }),
    createScoreStep({ ...deps, databaseNow }),
    createDedupStep(deps),
    createContradictionsStep(deps),
    createIntegrityStep(deps),
    createDigestStep(deps),
  ];
}
