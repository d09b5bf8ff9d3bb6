import type { Decider } from '../consolidation/decider.ts';
import type { Database } from '../db/database.ts';
import type { SignificanceEngine } from '../significance/significance.ts';
import { banksWithWork, type DueWork } from '../store/due-work.ts';
import { type BankWork, bankWorkOf } from './bank-work.ts';
import { type DeadLetters, deadLetters, type StandingJob, standingJobs } from './job-rows.ts';
import { isMissing, placeJob } from './placement.ts';
import { type BankQueueName, bankQueues } from './queues.ts';

/** What could be worked on now, over all banks: the drain depth. */
export interface Workable {
  /**
   * Rows that a job would be handed out for now: due, their bank quiet, the decider ready, nothing deferred; memories and
   * observations to be written again, up to 10,000 of each a bank. A bank that only misses vectors or scores counts as one.
   */
  readonly rows: number;
  /** Memories that could be scored now, up to 10,000 a bank; not among `rows`. */
  readonly scores: number;
  /** Banks that have such rows. */
  readonly banks: readonly string[];
  /** Jobs in somebody's hands, over all daemons. */
  readonly jobsActive: number;
  /** When the first of what rests becomes workable; null: nothing rests. */
  readonly nextAt: Date | null;
  /** Why due rows rest, in a few words; null where none does. */
  readonly heldBy: string | null;
}

/** Enough for any decision, and a scan that a tick can afford. */
const countUpTo = 10_000;

/** Of one queue. */
export interface QueueFacts {
  /** By bank. */
  readonly jobs: ReadonlyMap<string, StandingJob>;
  readonly dead: ReadonlyMap<string, DeadLetters>;
  /** When whom it asks can be asked again; null: now. */
  readonly readyAt: Date | null;
}

export interface WorkableFacts {
  readonly work: readonly DueWork[];
  /** Of the queues that are asked about. */
  readonly queues: Readonly<Partial<Record<BankQueueName, QueueFacts>>>;
}

/** One statement after the other: a tick has one connection at a time. @throws errors of the server */
export async function readWorkable(
  deps: {
    readonly db: Database;
    readonly decider: Pick<Decider, 'readyAt'>;
    readonly significance: Pick<SignificanceEngine, 'readyAt'>;
  },
  asked: readonly BankQueueName[] = bankQueues.map(({ name }) => name),
): Promise<Workable> {
  const { db } = deps;
  const ready: Readonly<Record<BankQueueName, () => Promise<Date | null>>> = {
    consolidate: () => deps.decider.readyAt(),
    // Its jobs say when: nobody asks an embedder beforehand.
    embed: async () => null,
    score: () => deps.significance.readyAt(),
  };
  const queues: Partial<Record<BankQueueName, QueueFacts>> = {};
  for (const queue of asked) {
    const readyAt = await ready[queue]();
    queues[queue] = { readyAt, jobs: await standingJobs(db, queue), dead: await deadLetters(db, queue, null) };
  }
  return workableOf({ work: await banksWithWork(db, countUpTo), queues });
}

/**
 * A wrong key or a spent budget makes all of it rest, so that neither keeps a daemon awake; what was deferred or failed
 * rests until its job starts, and a bank until it has been quiet for long enough.
 */
export function workableOf({ work, queues }: WorkableFacts): Workable {
  let [rows, scores] = [0, 0];
  const banks: string[] = [];
  const rests: Date[] = [];
  const held: string[] = [];
  for (const bank of work) {
    /** Whether the bank's job of a queue would be handed out now; where not, when it will is noted. */
    const mayBeWorkedOn = (queue: BankQueueName, due: number): boolean => {
      const facts = queues[queue];
      const wish = facts && bankWorkOf(queue, bank);
      if (!facts || !wish) return false;
      const job = facts.jobs.get(bank.bankId);
      const at = latest(startsAt(bank.now, wish, job, facts.dead.get(bank.bankId) ?? null), facts.readyAt);
      if (at.getTime() <= bank.now.getTime()) return true;
      rests.push(at);
      const readyAt = facts.readyAt !== null && facts.readyAt > bank.now ? facts.readyAt : null;
      if (due > 0) held.push(whyHeld(queue, readyAt, job));
      return false;
    };
    const decides = mayBeWorkedOn('consolidate', bank.due + bank.replans);
    const embeds = mayBeWorkedOn('embed', 0);
    const isScored = mayBeWorkedOn('score', bank.unscored);
    if (!decides && !embeds && !isScored) continue;
    banks.push(bank.bankId);
    rows += Math.max(decides ? bank.due + bank.replans : 0, 1);
    scores += isScored ? bank.unscored : 0;
  }
  const jobs = Object.values(queues).flatMap((facts) => [...facts.jobs.values()]);
  return {
    rows,
    scores,
    banks,
    jobsActive: jobs.filter((job) => job.state === 'active').length,
    nextAt: rests.reduce<Date | null>((first, at) => (first && first.getTime() <= at.getTime() ? first : at), null),
    heldBy: held[0] ?? null,
  };
}

/** When the bank's next slice starts, as the reconciler would have it. */
function startsAt(now: Date, wish: BankWork, job: StandingJob | undefined, dead: DeadLetters | null): Date {
  const { at, bringsForward } = wish;
  if (job && !isMissing(wish, job)) {
    if (job.state === 'active') return now;
    return bringsForward ? latest(at, job.startAfter) : job.startAfter;
  }
  const placement = placeJob({ at, trigger: 'reconciler', bringsForward }, job ?? null, dead);
  // What is kept although it looks late is held for a reason of its own.
  return placement.kind === 'keep' ? latest(at, job?.startAfter ?? at) : placement.at;
}

function whyHeld(queue: BankQueueName, readyAt: Date | null, job: StandingJob | undefined): string {
  const who = queue === 'score' ? 'scorer' : 'decider';
  if (readyAt) return `the ${who} is out of order or over its budget until ${readyAt.toISOString()}`;
  if (job?.trigger === 'deferred') return 'something outside failed; their job is deferred';
  if (job?.state === 'retry') return 'their job failed and is tried again';
  return 'their bank is being written to';
}

function latest(left: Date, right: Date | null): Date {
  return right === null || left.getTime() >= right.getTime() ? left : right;
}
