import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import type { VectorIndex } from '../store/vectors/vector-index.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { Decider } from './decider.ts';

/** All that consolidation touches outside itself. */
export interface ConsolidationDeps {
  readonly db: Database;
  readonly vectors: VectorIndex;
  readonly embedder: Embedder;
  readonly decider: Decider;
  /** Row of `engram.instances` that this process works as. */
  readonly instanceId: string;
  /** Batches at the decider at once. */
  readonly concurrency: number;
  /** `review`: what is decided waits for a person. */
  readonly apply: 'auto' | 'review';
  /** Memories a batch; default `batchLimits.memories`. */
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
