import { countStore } from '../store/counts.ts';
import { countScores } from '../store/score-counts.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { AppDeps } from './app-deps.ts';

/** A scrape is not to cost the database more than this. */
const freshForMs = 10_000;
/** A scrape is not to wait longer than this for a database that does not answer. */
const waitMs = 1000;

/**
 * Brings the gauges that describe the store up to date, at most every 10 s whoever asks how often. With the database
 * down they keep their last values, and `engramd_gauges_timestamp_seconds` says how old those are. Those of the pool ask
 * nobody, and are true while parked, too.
 */
export function createStoreGauges(
  deps: Pick<
    AppDeps,
    'db' | 'decider' | 'significance' | 'queue' | 'backups' | 'settings' | 'metrics' | 'clock' | 'log'
  >,
) {
  const { db, metrics, clock, log } = deps;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    try {
      const counts = await countStore(db);
      for (const [state, count] of Object.entries(counts.memories)) metrics.memories.set({ state }, count);
      metrics.memoriesDue.set(counts.due);
      metrics.oldestDueSeconds.set(counts.oldestDueSeconds);
      metrics.observations.set(counts.observations);
      const scores = await countScores(db, deps.settings.pinCap);
      metrics.memoriesUnscored.set(scores.unscored);
      metrics.oldestUnscoredSeconds.set(scores.oldestUnscoredSeconds);
      metrics.pins.set({ pin: 'manual' }, scores.manualPins);
      metrics.pins.set({ pin: 'auto' }, scores.autoPins);
      metrics.pinsOverCap.set(scores.overCap);
      metrics.workResting.set({ work: 'memories' }, (await deps.decider.readyAt()) === null ? 0 : 1);
      metrics.workResting.set({ work: 'scores' }, (await deps.significance.readyAt()) === null ? 0 : 1);
      await deps.queue.snapshot().then((jobs) => metrics.deadLetters.set(jobs.deadLetters));
      await deps.backups?.refresh();
      metrics.dataFreshAtSeconds.set(clock.now().getTime() / 1000);
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown) }, 'the gauges of the store could not be read');
    } finally {
      // Also after a failure: a database that is down is asked no more often than one that is up.
      readAtMs = clock.monotonicMs();
      reading = undefined;
    }
  }

  return {
    async refresh({ mayRead }: { readonly mayRead: boolean }): Promise<void> {
      for (const [state, count] of Object.entries(db.poolCounts())) metrics.poolConnections.set({ state }, count);
      if (!mayRead) return;
      if (clock.monotonicMs() - readAtMs < freshForMs) return;
      reading ??= read();
      const over = new AbortController();
      await Promise.race([reading, clock.sleep(waitMs, over.signal)]);
      over.abort();
    },
  };
}
