import type { BankWork } from './bank-work.ts';
import { quietMs } from './due-at.ts';
import type { DeadLetters, StandingJob } from './job-rows.ts';
import { isImmediate, type JobTrigger } from './payload.ts';

/** Wishes closer together than this are one wish: nothing is moved for less. */
const toleranceMs = 1000;

const firstHoldMs = 3_600_000;
const longestHoldMs = 24 * 3_600_000;

export interface Wish {
  readonly at: Date;
  readonly trigger: JobTrigger;
  /** False: any job that the bank has will do, also a later one. */
  readonly bringsForward: boolean;
}

export type Placement =
  /** There is no job: send one for then. */
  | { readonly kind: 'send'; readonly at: Date }
  /** There is one that starts later, or that would look at the debounce first: bring it forward, under this trigger. */
  | { readonly kind: 'move'; readonly jobId: string; readonly at: Date; readonly trigger: JobTrigger }
  /** The job there is does as well. */
  | { readonly kind: 'keep'; readonly jobId: string }
  /** The bank is being worked on, or a transaction that has not committed yet is ending that. */
  | { readonly kind: 'active'; readonly at: Date };

/**
 * What a wish for a job becomes, given the bank's one job. It carries its earliest due time: moved earlier, never later.
 *
 * A job in retry keeps its pause, and a bank with dead letters its hold, unless somebody asks by name: a writer that
 * says something every second would burn the retries of a bank that fails within the minute. A deferred job comes
 * forward for what is new, but not within the quiet time of the deferral, and stays a deferred one: the rows that it waits
 * for are overdue, so that each write of a writer that never pauses would else start a slice (one a second with the
 * budget spent until midnight).
 */
export function placeJob(wish: Wish, standing: StandingJob | null, dead: DeadLetters | null): Placement {
  const asked = isImmediate(wish.trigger);
  const at = asked ? wish.at : latest(latest(wish.at, heldUntil(dead)), deferredUntil(standing));
  if (standing === null) return { kind: 'send', at };
  if (standing.state === 'active') return { kind: 'active', at };
  if (!wish.bringsForward || (standing.state === 'retry' && !asked)) return { kind: 'keep', jobId: standing.id };
  if (standing.startAfter.getTime() > at.getTime() + toleranceMs) {
    const trigger = standing.trigger === 'deferred' && !asked ? 'deferred' : wish.trigger;
    return { kind: 'move', jobId: standing.id, at, trigger };
  }
  // In time, but it would look at the debounce first and send itself away again.
  const looksAtDebounce = standing.trigger === null || !isImmediate(standing.trigger);
  if (asked && looksAtDebounce) {
    return { kind: 'move', jobId: standing.id, at: earliest(at, standing.startAfter), trigger: wish.trigger };
  }
  return { kind: 'keep', jobId: standing.id };
}

/**
 * Whether a bank's job is missing or late. A deferred job is late on purpose, for the rows there were; only rows
 * written since make it late in earnest. (A send against it is swallowed, so nobody else would bring it forward.)
 */
export function isMissing(work: BankWork, standing: StandingJob | undefined): boolean {
  if (standing === undefined) return true;
  if (!work.bringsForward) return false;
  if (standing.state !== 'created' || standing.startAfter.getTime() <= work.at.getTime()) return false;
  if (standing.trigger !== 'deferred') return true;
  return work.lastWriteAt !== null && work.lastWriteAt.getTime() > standing.createdAt.getTime();
}

/**
 * Until when a bank with dead letters is left alone: an hour after the first, doubled with each further one, at most a
 * day. The letters go when a job of the bank completes.
 */
function heldUntil(dead: DeadLetters | null): Date | null {
  if (dead === null || dead.ids.length === 0) return null;
  const holdMs = Math.min(firstHoldMs * 2 ** (dead.ids.length - 1), longestHoldMs);
  return new Date(dead.newestAt.getTime() + holdMs);
}

function deferredUntil(standing: StandingJob | null): Date | null {
  return standing?.trigger === 'deferred' && standing.state === 'created'
    ? new Date(standing.createdAt.getTime() + quietMs)
    : null;
}

function latest(left: Date, right: Date | null): Date {
  return right && right.getTime() > left.getTime() ? right : left;
}

function earliest(left: Date, right: Date): Date {
  return right.getTime() < left.getTime() ? right : left;
}
