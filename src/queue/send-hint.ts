import type { Database } from '../db/database.ts';
import { dueWorkOf } from '../store/due-work.ts';
import { bankWorkOf } from './bank-work.ts';
import { dueAtOnceCount } from './due-at.ts';
import { type BankQueueName, consolidateQueue, embedDelayMs, embedQueue, scoreQueue } from './queues.ts';
import type { Placed, Scheduler } from './scheduler.ts';

export interface SendHintDeps {
  readonly db: Database;
  readonly scheduler: Scheduler;
  readonly nudgeFor: (queue: BankQueueName, placed: Placed) => void;
  readonly nudgeIn: (queue: BankQueueName, afterMs: number) => void;
}

/** Places the jobs of a bank that somebody wrote to. */
export function createSendHint({ db, scheduler, nudgeFor, nudgeIn }: SendHintDeps): (bankId: string) => Promise<void> {
  return async (bankId) => {
    const work = await dueWorkOf(db, bankId, dueAtOnceCount);
    if (work === null) return;
    for (const { name: queue } of [embedQueue, consolidateQueue, scoreQueue]) {
      const wish = bankWorkOf(queue, work);
      if (wish === null) continue;
      const { bringsForward } = wish;
      // New texts of one burst are embedded together.
      const at = queue === 'embed' ? new Date(wish.at.getTime() + embedDelayMs) : wish.at;
      const placed = await scheduler.place(queue, bankId, { at, trigger: 'hint', bringsForward });
      if (queue !== 'embed') nudgeFor(queue, placed);
      // By our own clock, since the server's may differ.
      else if (placed.kind === 'sent') nudgeIn(queue, embedDelayMs);
    }
  };
}
