import type { Decider } from '../consolidation/decider.ts';
import type { Database } from '../db/database.ts';
import { banksWithWork, type DueWork } from '../store/due-work.ts';
import { dueAt } from './due-at.ts';
import { type DeadLetters, deadLetters, type StandingJob, standingJobs } from './job-rows.ts';
import { isMissing, placeJob } from './placement.ts';

/** What could be worked on now, over all banks: the drain depth. */
export interface Workable {
  /**
   * Rows that a job would be handed out for now: due, their bank quiet, the decider ready, nothing deferred; memories and
   * observations to be written again, up to 10,000 of each a bank. A bank that only misses vectors counts as one.
   */
  readonly rows: number;
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

export interface WorkableFacts {
  readonly work: readonly DueWork[];
  readonly consolidating: ReadonlyMap<string, StandingJob>;
  readonly embedding: ReadonlyMap<string, StandingJob>;
  readonly deadConsolidating: ReadonlyMap<string, DeadLetters>;
  readonly deadEmbedding: ReadonlyMap<string, DeadLetters>;
  /** When the decider can decide again; null: now. */
  readonly deciderReadyAt: Date | null;
}

/** One statement after the other: a tick has one connection at a time. @throws errors of the server */
export async function readWorkable(deps: {
  readonly db: Database;
  readonly decider: Pick<Decider, 'readyAt'>;
}): Promise<Workable> {
  const { db } = deps;
  return workableOf({
    deciderReadyAt: await deps.decider.readyAt(),
    work: await banksWithWork(db, countUpTo),
    consolidating: await standingJobs(db, 'consolidate'),
    embedding: await standingJobs(db, 'embed'),
    deadConsolidating: await deadLetters(db, 'consolidate', null),
    deadEmbedding: await deadLetters(db, 'embed', null),
  });
}

/**
 * A wrong key or a spent budget makes all of it rest, so that neither keeps a daemon awake; what was deferred or failed
 * rests until its job starts, and a bank until it has been quiet for long enough.
 */
export function workableOf(facts: WorkableFacts): Workable {
  const { work, consolidating, embedding, deciderReadyAt } = facts;
  let rows = 0;
  const banks: string[] = [];
  const rests: Date[] = [];
  let heldBy: string | null = null;
  for (const bank of work) {
    const nowMs = bank.now.getTime();
    const mayBeWorkedOn = (at: Date | null): boolean => {
      if (at === null) return false;
      if (at.getTime() <= nowMs) return true;
      rests.push(at);
      return false;
    };
    const due = bank.due + bank.replans;
    const job = consolidating.get(bank.bankId);
    const startsAt = consolidatesAt(bank, job, facts.deadConsolidating.get(bank.bankId) ?? null);
    const isReady = deciderReadyAt === null || deciderReadyAt.getTime() <= nowMs;
    const decides = mayBeWorkedOn(startsAt === null || isReady ? startsAt : latest(startsAt, deciderReadyAt));
    const embeds = mayBeWorkedOn(
      bank.unembedded
        ? embedsAt(bank.now, embedding.get(bank.bankId), facts.deadEmbedding.get(bank.bankId) ?? null)
        : null,
    );
    if (due > 0 && !decides) heldBy ??= whyHeld(isReady ? null : deciderReadyAt, job);
    if (!decides && !embeds) continue;
    banks.push(bank.bankId);
    rows += Math.max(decides ? due : 0, 1);
  }
  const jobs = [...consolidating.values(), ...embedding.values()];
  return {
    rows,
    banks,
    jobsActive: jobs.filter((job) => job.state === 'active').length,
    nextAt: rests.reduce<Date | null>((first, at) => (first && first.getTime() <= at.getTime() ? first : at), null),
    heldBy,
  };
}

/** When the bank's next slice starts, as the reconciler would have it. */
function consolidatesAt(bank: DueWork, job: StandingJob | undefined, dead: DeadLetters | null): Date | null {
  const at = dueAt(bank);
  if (at === null) return null;
  if (job && !isMissing(bank, at, job)) return job.state === 'active' ? bank.now : latest(at, job.startAfter);
  const placement = placeJob({ at, trigger: 'reconciler', bringsForward: true }, job ?? null, dead);
  // What is kept although it looks late is held for a reason of its own.
  return placement.kind === 'keep' ? latest(at, job?.startAfter ?? at) : placement.at;
}

function embedsAt(now: Date, job: StandingJob | undefined, dead: DeadLetters | null): Date {
  if (job) return job.state === 'active' ? now : job.startAfter;
  const placement = placeJob({ at: now, trigger: 'reconciler', bringsForward: false }, null, dead);
  return placement.kind === 'keep' ? now : placement.at;
}

function whyHeld(readyAt: Date | null, job: StandingJob | undefined): string {
  if (readyAt) return `the decider is out of order or over its budget until ${readyAt.toISOString()}`;
  if (job?.trigger === 'deferred') return 'something outside failed; their job is deferred';
  if (job?.state === 'retry') return 'their job failed and is tried again';
  return 'their bank is being written to';
}

function latest(left: Date, right: Date): Date {
  return left.getTime() >= right.getTime() ? left : right;
}
