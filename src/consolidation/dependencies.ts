import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import type { VectorIndex } from '../store/vectors/vector-index.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { Decider } from './decider.ts';
import type { RecentTexts } from './recent-texts.ts';
import type { InOrder, Turns } from './turns.ts';

/** All that consolidation touches outside itself. */
export interface ConsolidationDeps {
  readonly db: Database;
  readonly vectors: VectorIndex;
  readonly embedder: Embedder;
  readonly decider: Decider;
  /** Row of `engram.instances` that this process works as. */
  readonly instanceId: string;
  /** Calls of the decider at once, over all banks. */
  readonly concurrency: number;
  /** `review`: what is decided waits for a person. */
  readonly apply: 'auto' | 'review';
  /** Memories a batch at most, instead of what the decider takes: for tests and benches. */
  readonly batchMemories?: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /** In [0, 1). */
  readonly random: () => number;
  /** Ids that sort by time (UUID version 7). */
  readonly newId: () => string;
}

/** What the slices of one engine share. */
export interface EngineDeps extends ConsolidationDeps {
  /** Batches under way, over all banks. */
  readonly turns: Turns;
  readonly inApplyOrder: InOrder;
  /** Of the slice at work; none where there is none. */
  readonly recentTexts?: RecentTexts;
}
