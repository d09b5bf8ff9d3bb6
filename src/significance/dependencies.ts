import type { Database } from '../db/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { Scorer } from './scorer.ts';

/** What pinning touches outside itself. */
export interface PinDeps {
  readonly db: Database;
  /** Pins a bank keeps by itself. */
  readonly pinCap: number;
  /** Row of `engram.instances` that this process works as. */
  readonly instanceId: string;
  readonly metrics: Pick<Metrics, 'pinsEvicted'>;
  readonly racepoints: Racepoints;
}

/** What scoring touches outside itself. */
export interface SignificanceDeps extends PinDeps {
  readonly scorer: Scorer;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'pinsEvicted' | 'scores' | 'scoreWaitSeconds'>;
  /** In [0, 1). */
  readonly random: () => number;
}
