import type { Database } from '../db/database.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Boss } from './boss.ts';
import { jobsLostOnce, lostWorkerMessage, orphanedJobs } from './job-rows.ts';
import type { Scheduler } from './scheduler.ts';

export interface TakeBackDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Before the first job is taken: ends the attempts of processes that are dead, so that a restart after a crash goes on
 * at once. Left to heartbeats, supervision and the pause of a retry, a bank stood still for up to 55 s. Beside another
 * daemon that lives nothing is taken back: whose a job is does not show, and the other looks after the silent ones.
 *
 * It costs an attempt, as it would otherwise. The first death of a job's worker is a deploy or a power cut and no reason
 * to wait; from the second on the pause stands, since the job itself may be what kills.
 *
 * Never throws: whatever is not taken back here comes back later by its heartbeat.
 */
export async function takeBackOrphans(deps: TakeBackDeps, instanceId: string): Promise<void> {
  const { db, boss, scheduler, clock, log } = deps;
  try {
    for (const job of await orphanedJobs(db, instanceId)) {
      await boss.fail(job.queue, job, { outcome: 'failed', message: lostWorkerMessage });
      log.warn(
        { queue: job.queue, jobId: job.id, bankId: job.bankId },
        'a job was taken back from a process that died',
      );
    }
    for (const job of await jobsLostOnce(db)) {
      await scheduler.place(job.queue, job.bankId, { at: clock.now(), trigger: 'successor', bringsForward: true });
    }
  } catch (thrown) {
    log.warn(
      { error: errorMessage(thrown) },
      'jobs of processes that died could not be taken back; their heartbeats tell',
    );
  }
}
