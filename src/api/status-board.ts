import type { z } from 'zod';
import { sqlState } from '../db/errors.ts';
import { countStore } from '../store/counts.ts';
import { countScores } from '../store/score-counts.ts';
import { changedSinceSnapshot } from '../store/snapshots.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { AppDeps } from './app-deps.ts';
import { presentBackups } from './backup-status.ts';
import { presentLife } from './life-status.ts';
import { presentModelStatus } from './model-status.ts';
import { presentQueueCounts } from './present.ts';
import type { statusSchema } from './schemas.ts';

export type StatusDocument = z.input<typeof statusSchema>;

/** What the daemon is, kept ready: a probe is answered from memory, and a parked daemon has nothing else. */
export interface StatusBoard {
  /** Reads the store first; a parked daemon does not. Shared by whoever asks meanwhile. @throws errors of the database */
  fresh(): Promise<StatusDocument>;
  /** From memory, however old what it says of the store is: see `facts_at`. */
  last(): StatusDocument;
}

type Facts = Omit<StatusDocument, keyof ReturnType<typeof presentProcess> | 'life' | 'backups'>;

const undefinedTable = '42P01';

const nothingRead: Facts = {
  facts_at: null,
  models: [],
  waits_until: null,
  scores_wait_until: null,
  budget: null,
  banks: 0,
  memories: { pending: 0, consolidated: 0, proposed: 0, held: 0, parked: 0 },
  due: 0,
  oldest_due_seconds: 0,
  unembedded: 0,
  unscored: 0,
  oldest_unscored_seconds: 0,
  scores_parked: 0,
  pins: { manual: 0, auto: 0, over_cap: 0 },
  observations: 0,
  open_conflicts: 0,
  proposed_changes: 0,
  queue: null,
};

export function createStatusBoard(deps: AppDeps): StatusBoard {
  let facts = nothingRead;
  let snapshotsAt: Date | null = null;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const [counts, scores, jobs, models] = [
      await countStore(deps.db),
      await countScores(deps.db, deps.settings.pinCap),
      await queueSnapshot(deps),
      await presentModelStatus(deps),
    ];
    await deps.life?.refresh();
    await deps.backups?.refresh();
    snapshotsAt = await snapshotsOfAllBanks(deps.db);
    facts = {
      facts_at: deps.clock.now().toISOString(),
      ...models,
      banks: counts.banks,
      memories: counts.memories,
      due: counts.due,
      oldest_due_seconds: counts.oldestDueSeconds,
      unembedded: counts.unembedded,
      unscored: scores.unscored,
      oldest_unscored_seconds: scores.oldestUnscoredSeconds,
      scores_parked: scores.parked,
      pins: { manual: scores.manualPins, auto: scores.autoPins, over_cap: scores.overCap },
      observations: counts.observations,
      open_conflicts: counts.openConflicts,
      proposed_changes: counts.proposed,
      queue: jobs && {
        consolidate: presentQueueCounts(jobs.consolidate),
        embed: presentQueueCounts(jobs.embed),
        score: presentQueueCounts(jobs.score),
        dead_letters: jobs.deadLetters,
        in_flight: jobs.inFlight,
      },
    };
  }

  const last = (): StatusDocument => ({
    ...presentProcess(deps),
    ...facts,
    life: deps.life ? presentLife(deps.life) : null,
    backups: deps.backups ? presentBackups(deps.backups.view(), snapshotsAt) : null,
  });

  return {
    last,
    async fresh() {
      if (deps.life?.view().isParked) return last();
      // Whoever comes while it is read gets it too: the answer is of after the question but for some milliseconds.
      reading ??= read().finally(() => {
        reading = undefined;
      });
      await reading;
      return last();
    },
  };
}

/** A probe is worth more in time than true to the second. */
export const statusWaitMs = 1000;

/**
 * The status, read from the store if that says anything within `waitMs`, else from memory: a database that does not answer is
 * no reason to say nothing. `facts_at` tells how old the rest is.
 */
export async function readStatus(
  board: StatusBoard,
  { clock, log, waitMs = statusWaitMs }: Pick<AppDeps, 'clock' | 'log'> & { readonly waitMs?: number },
): Promise<StatusDocument> {
  const over = new AbortController();
  const fresh = board.fresh().catch((thrown: unknown) => {
    log.debug({ error: errorMessage(thrown) }, 'the store could not be read for a status');
    return board.last();
  });
  try {
    return await Promise.race([fresh, clock.sleep(waitMs, over.signal).then(() => board.last())]);
  } finally {
    over.abort();
  }
}

/** What is known without asking anybody. */
function presentProcess({ instance, settings, embedder, vectors, db, condition, clock }: AppDeps) {
  return {
    version: instance.version,
    instance_id: instance.id,
    condition: condition(),
    started_at: instance.startedAt.toISOString(),
    uptime_seconds: Math.max(0, (clock.now().getTime() - instance.startedAt.getTime()) / 1000),
    decider: settings.decider,
    embedding: {
      model: embedder.model.id,
      dimensions: embedder.model.dimensions,
      configured: settings.configuredModel.id,
      pinned_differs: settings.configuredModel.id !== embedder.model.id,
    },
    vectors: vectors.kind,
    pool: db.poolCounts(),
  };
}

/** As old as the oldest last snapshot of a bank that has changed since. */
async function snapshotsOfAllBanks(db: AppDeps['db']): Promise<Date> {
  const { now, banks } = await changedSinceSnapshot(db, { countUpTo: 0 });
  return new Date(Math.min(now.getTime(), ...banks.map(({ since }) => since.getTime())));
}

async function queueSnapshot({ queue, log }: AppDeps) {
  try {
    return await queue.snapshot();
  } catch (thrown) {
    // A command without workers on a database whose queue nobody has started yet.
    if (sqlState(thrown) === undefinedTable) return null;
    log.debug({ error: errorMessage(thrown) }, 'the queue could not be counted');
    throw thrown;
  }
}
