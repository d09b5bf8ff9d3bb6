import type { Database } from '../db/database.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { dueAtOnceCount, hasDueWork } from './due-at.ts';
import type { Placed, Scheduler } from './scheduler.ts';

/** Banks that somebody asks for by name. */
export interface Requests {
  /** Makes the bank due now. One that is being worked on is asked for again until that is done. */
  add(bankId: string): Promise<Placed>;
  /** Asks again for those that met a job at work. Never throws. */
  repeat(): Promise<void>;
  clear(): void;
}

export function createRequests(deps: {
  readonly db: Database;
  readonly scheduler: Scheduler;
  /** A job is there that starts now. */
  readonly onPlaced: () => void;
  readonly clock: Clock;
  readonly log: Log;
}): Requests {
  const { db, scheduler, clock, log } = deps;
  /** Banks asked for while they were being worked on. */
  const waiting = new Set<string>();

  async function request(bankId: string): Promise<Placed> {
    const work = await dueWorkOf(db, bankId, dueAtOnceCount);
    const at = work?.now ?? clock.now();
    const placed = await scheduler.place('consolidate', bankId, { at, trigger: 'requested', bringsForward: true });
    if (placed.kind !== 'active') deps.onPlaced();
    return placed;
  }

  return {
    async add(bankId) {
      const placed = await request(bankId);
      if (placed.kind === 'active') waiting.add(bankId);
      return placed;
    },
    async repeat() {
      for (const bankId of [...waiting]) {
        try {
          const work = await dueWorkOf(db, bankId, dueAtOnceCount);
          if (work === null || !hasDueWork(work) || (await request(bankId)).kind !== 'active') waiting.delete(bankId);
        } catch (thrown) {
          log.warn({ error: errorMessage(thrown), bankId }, 'a request waits for the database');
        }
      }
    },
    clear: () => waiting.clear(),
  };
}
