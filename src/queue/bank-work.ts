import type { DueWork } from '../store/due-work.ts';
import { dueAt, scoresAt } from './due-at.ts';
import type { BankQueueName } from './queues.ts';

/** What a bank has to do for one queue, and how its job is placed. */
export interface BankWork {
  /** When a job may start; never in the past. */
  readonly at: Date;
  /** The newest write among the rows: what came after a deferral makes its job late in earnest. */
  readonly lastWriteAt: Date | null;
  /** False: any job that the bank has will do, also a later one. */
  readonly bringsForward: boolean;
}

/** @returns null where there is nothing to do, now or later */
export function bankWorkOf(queue: BankQueueName, work: DueWork): BankWork | null {
  switch (queue) {
    case 'consolidate': {
      const at = dueAt(work);
      return at && { at, lastWriteAt: work.lastWriteAt, bringsForward: true };
    }
    case 'embed':
      return work.unembedded ? { at: work.now, lastWriteAt: null, bringsForward: false } : null;
    case 'score': {
      const at = scoresAt(work);
      return at && { at, lastWriteAt: work.lastUnscoredWriteAt, bringsForward: true };
    }
    default:
      return queue satisfies never;
  }
}
