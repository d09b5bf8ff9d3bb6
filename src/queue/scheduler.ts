import type { Database } from '../db/database.ts';
import type { Boss } from './boss.ts';
import { deadLetters, lockStandingJobOf, standingJobOf } from './job-rows.ts';
import { type Placement, placeJob, type Wish } from './placement.ts';
import type { BankQueueName } from './queues.ts';

export interface Placed {
  readonly kind: 'sent' | 'moved' | 'kept' | 'active';
  /** Null where the bank is being worked on. */
  readonly jobId: string | null;
  /** When the job sent or moved starts. */
  readonly at: Date | null;
}

export interface Scheduler {
  /**
   * Sees to it that the bank has a job of the queue that starts by the time wished for, as far as {@link placeJob}
   * grants it. Never moves a job later, whoever else wishes at the same time.
   */
  place(queue: BankQueueName, bankId: string, wish: Wish): Promise<Placed>;
}

/** Each lost race means that somebody else has just sent a job or ended one, so the second look nearly always settles it. */
const looks = 3;

export function createScheduler(deps: { readonly db: Database; readonly boss: Boss }): Scheduler {
  const { db, boss } = deps;

  async function decide(queue: BankQueueName, bankId: string, wish: Wish): Promise<Placement> {
    const standing = await standingJobOf(db, queue, bankId);
    // Most hints end here, with one read: the job that the first of them sent stands.
    const unheld = placeJob(wish, standing, null);
    if (unheld.kind === 'keep' || unheld.kind === 'active') return unheld;
    const dead = await deadLetters(db, queue, bankId);
    return placeJob(wish, standing, dead.get(bankId) ?? null);
  }

  async function carryOut(
    queue: BankQueueName,
    bankId: string,
    wish: Wish,
    placement: Placement,
  ): Promise<Placed | null> {
    const payload = { bankId, trigger: wish.trigger };
    switch (placement.kind) {
      case 'keep':
        return { kind: 'kept', jobId: placement.jobId, at: null };
      case 'active': {
        // What was read may be older than a transaction that ends the job and has looked at the rows already. The
        // insert waits for it, and only then is swallowed, or not.
        const jobId = await boss.send(db, queue, payload, placement.at);
        if (jobId !== null) return { kind: 'sent', jobId, at: placement.at };
        const standing = await standingJobOf(db, queue, bankId);
        return standing?.state === 'active' ? { kind: 'active', jobId: null, at: null } : null;
      }
      case 'send': {
        const jobId = await boss.send(db, queue, payload, placement.at);
        return jobId === null ? null : { kind: 'sent', jobId, at: placement.at };
      }
      case 'move':
        // pg-boss moves a job to wherever it is told. Under the row's lock nobody else's earlier wish is undone.
        return db.tx({ label: 'move-job' }, async (tx) => {
          const standing = await lockStandingJobOf(tx, queue, bankId);
          if (standing?.id !== placement.jobId) return null;
          const again = placeJob({ ...wish, at: placement.at }, standing, null);
          if (again.kind !== 'move') return null;
          await boss.move(tx, queue, standing.id, { bankId, trigger: again.trigger }, again.at);
          return { kind: 'moved', jobId: standing.id, at: again.at };
        });
    }
  }

  return {
    async place(queue, bankId, wish) {
      for (let look = 1; look <= looks; look += 1) {
        const placed = await carryOut(queue, bankId, wish, await decide(queue, bankId, wish));
        if (placed) return placed;
      }
      // Whoever won three times has a job of the bank standing or at work.
      return { kind: 'active', jobId: null, at: null };
    },
  };
}
