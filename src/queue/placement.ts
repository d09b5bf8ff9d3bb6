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
  /** There is one that starts later, or that would look at the debounce first: bring it forward. */
  | { readonly kind: 'move'; readonly jobId: string; readonly at: Date }
  /** The job there is does as well. */
  | { readonly kind: 'keep'; readonly jobId: string }
  /** The bank is being worked on, or a transaction that has not committed yet is ending that. */
  | { readonly kind: 'active'; readonly at: Date };

/**
 * What a wish for a job becomes, given the bank's one job. It carries its earliest due time: moved earlier, never later.
 *
 * A job in retry keeps its pause, and a bank with dead letters its hold, unless somebody asks by name: a writer that
 * says something every second would burn the retries of a bank that fails within the minute.
 */
export function placeJob(wish: Wish, standing: StandingJob | null, dead: DeadLetters | null): Placement {
  const asked = isImmediate(wish.trigger);
  const at = asked ? wish.at : latest(wish.at, heldUntil(dead));
  if (standing === null) return { kind: 'send', at };
  if (standing.state === 'active') return { kind: 'active', at };
  if (!wish.bringsForward || (standing.state === 'retry' && !asked)) return { kind: 'keep', jobId: standing.id };
  if (standing.startAfter.getTime() > at.getTime() + toleranceMs) return { kind: 'move', jobId: standing.id, at };
  // In time, but it would look at the debounce first and send itself away again.
  const looksAtDebounce = standing.trigger === null || !isImmediate(standing.trigger);
  if (asked && looksAtDebounce) return { kind: 'move', jobId: standing.id, at: earliest(at, standing.startAfter) };
  return { kind: 'keep', jobId: standing.id };
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

function latest(left: Date, right: Date | null): Date {
  return right && right.getTime() > left.getTime() ? right : left;
}

function earliest(left: Date, right: Date): Date {
  return right.getTime() < left.getTime() ? right : left;
}
