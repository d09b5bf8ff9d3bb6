import type { BackupsForStatus } from '../backup/backup-view.ts';
import type { Decider } from '../consolidation/decider.ts';
import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Curation } from '../curation/create-curation.ts';
import type { Database } from '../db/database.ts';
import type { EmbeddingSwitcher } from '../ingest/embedding-switch.ts';
import type { ActivityPort } from '../lifecycle/life-view.ts';
import type { Embedder, EmbeddingModel } from '../models/embedder.ts';
import type { WantedModel } from '../models/embeddings/model-id.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import type { SignificanceEngine } from '../significance/significance.ts';
import type { DayLimits } from '../store/budget-ledger.ts';
import type { VectorIndex } from '../store/vectors/vector-index.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { LifeForStatus } from './life-status.ts';
import type { StatusBoard } from './status-board.ts';
import type { TimelineFollowers } from './timeline-followers.ts';

/** What the HTTP surface asks of the queue, and no more. */
export type ApiQueue = Pick<
  WorkQueue,
  'hint' | 'requestConsolidation' | 'listJobs' | 'retryJobs' | 'retryParked' | 'snapshot'
>;

/** `ready` alone serves `/v1`. */
export type AppCondition = 'starting' | 'ready' | 'stopping';

export interface AppSettings {
  /** As configured: its name is an allowed Host, and a wildcard (`0.0.0.0`, `::`) allows literal addresses. */
  readonly httpHost: string;
  /** Further names under which clients reach this process, e.g. `os.hostname()` behind a wildcard. */
  readonly allowedHosts: readonly string[];
  readonly apiToken: string | undefined;
  readonly metricsToken: string | undefined;
  /** Shown in status. */
  readonly decider: string;
  /** Language models in use; none where the rules decide. */
  readonly chatModels: readonly { readonly endpoint: string; readonly model: string }[];
  readonly budgetLimits: DayLimits;
  /** Pins that a bank keeps by itself. */
  readonly pinCap: number;
  /** What the settings ask for; shown in status where the pinned model differs. */
  readonly configuredModel: EmbeddingModel;
  /** Verified backups that a host keeps. */
  readonly backupKeep: number;
  /** Snapshots that a bank keeps. */
  readonly snapshotKeep: number;
}

/** Changing and calibrating the embedding model. */
export interface EmbeddingControl extends EmbeddingSwitcher {
  /** The model that a request names; where it names none, what the settings ask for. */
  readonly wanted: (request: { readonly model: string | undefined; readonly isLocal: boolean }) => WantedModel;
  /** Guarded. @throws EmbeddingModelUnavailableError */
  readonly open: (model: WantedModel) => Embedder;
}

export interface AppDeps {
  readonly db: Database;
  readonly vectors: VectorIndex;
  /** Guarded, and of the pinned model. */
  readonly embedder: Embedder;
  readonly decider: Pick<Decider, 'readyAt'>;
  readonly significance: Pick<SignificanceEngine, 'readyAt'>;
  readonly engine: Pick<ConsolidationEngine, 'dryRun'>;
  readonly queue: ApiQueue;
  readonly curation: Curation;
  readonly embeddings: EmbeddingControl;
  readonly settings: AppSettings;
  readonly instance: {
    readonly id: string;
    readonly version: string;
    readonly startedAt: Date;
  };
  readonly condition: () => AppCondition;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /** Absent where a command asks itself. */
  readonly life?: LifeForStatus;
  /** Absent where a command asks itself: it has an end. */
  readonly followers?: TimelineFollowers;
  /** Absent as above: a command takes none by itself. */
  readonly backups?: BackupsForStatus;
  /** Absent: one of the routes' own. */
  readonly status?: StatusBoard;
  /** Brings up to date what no request touches, e.g. CPU time. */
  readonly beforeScrape?: () => void;
  /** UUID version 7: ids sort by time. */
  readonly newId: () => string;
  /** Told as real work is dispatched: authenticated, routed and of the right shape (law L11). */
  readonly activity?: ActivityPort;
}
