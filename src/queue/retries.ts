import type { Database } from '../db/database.ts';
import { unparkMemories, unparkScores } from '../store/unpark.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Boss } from './boss.ts';
import { selectDeadLetters } from './job-rows.ts';
import type { BankQueueName } from './queues.ts';
import type { Requests } from './requests.ts';
import type { Placed, Scheduler } from './scheduler.ts';

export interface RetriedParked {
  readonly memories: number;
  readonly scores: number;
}

/** What a person brings back that was given up. */
export interface Retries {
  /**
   * Makes the banks of dead letters due now, those named (by their id or that of the job they were) or all, and takes the
   * letters away. Returns how many.
   */
  retryJobs(ids?: readonly string[] | 'dead'): Promise<number>;
  /**
   * Makes parked memories pending, has those scored again whose score was given up, and makes their banks due; of one
   * bank or all, the named or all. Returns how many of each.
   */
  retryParked(bankId?: string | null, memoryIds?: readonly string[]): Promise<RetriedParked>;
}

export function createRetries(deps: {
  readonly db: Database;
  readonly boss: Boss;
  readonly scheduler: Scheduler;
  readonly requests: Requests;
  readonly requestScores: (bankId: string) => Promise<void>;
  readonly nudgeFor: (queue: BankQueueName, placed: Placed) => void;
  readonly clock: Clock;
}): Retries {
  const { db, boss, scheduler, requests, requestScores, nudgeFor, clock } = deps;

  return {
    async retryJobs(ids = 'dead') {
      const letters = await selectDeadLetters(db, ids === 'dead' ? null : ids);
      for (const { id, queue, bankId } of letters) {
        // Not pg-boss's redrive: it fails a letter in place whose bank has a job, be it one that is held for an hour.
        const placed = await scheduler.place(queue, bankId, {
          at: clock.now(),
          trigger: 'requested',
          bringsForward: true,
        });
        await boss.deleteDeadLetters(db, [id]);
        nudgeFor(queue, placed);
      }
      return letters.length;
    },

    async retryParked(bankId = null, memoryIds) {
      const unparked = await unparkMemories(db, bankId, memoryIds ?? null);
      for (const bank of unparked.keys()) await requests.add(bank);
      const unscored = await unparkScores(db, bankId, memoryIds ?? null);
      for (const bank of unscored.keys()) await requestScores(bank);
      return { memories: sum(unparked.values()), scores: sum(unscored.values()) };
    },
  };
}

function sum(counts: Iterable<number>): number {
  return [...counts].reduce((total, count) => total + count, 0);
}
