import type { Database } from '../db/database.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createBoss } from './boss.ts';
import { createReconciler } from './reconciler.ts';
import { createScheduler } from './scheduler.ts';

/**
 * Has jobs made of what is due, once, without anything that could work them off: after a restore, whose queues are empty.
 *
 * @throws QueueSchemaNewerError, QueueError, errors of the server
 */
export async function placeJobs(deps: {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Promise<void> {
  const boss = createBoss(deps);
  const scheduler = createScheduler({ db: deps.db, boss });
  await boss.start();
  try {
    const nobody = () => undefined;
    await createReconciler({
      ...deps,
      boss,
      scheduler,
      maintenance: [],
      onPlaced: nobody,
      onSchemaNewer: nobody,
    }).run();
  } finally {
    await boss.stop();
  }
}
