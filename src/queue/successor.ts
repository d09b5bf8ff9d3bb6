import type { SliceReport } from '../consolidation/engine.ts';
import { type DueFacts, dueAt, hasDueWork, quietMs } from './due-at.ts';
import type { JobTrigger } from './payload.ts';

export interface Successor {
  readonly at: Date;
  readonly trigger: JobTrigger;
}

/** A deferral that names no time, e.g. a breaker without a probe date. */
const unnamedDeferralMs = 60_000;
/** No failure outside is asked about more often than this, whatever time it names. */
const shortestDeferralMs = 5000;

/**
 * The job that follows a slice, from the rows as they stand in the transaction that completes it.
 *
 * @param work null where the bank is gone
 */
export function successorOf(report: Pick<SliceReport, 'outcome' | 'retryAt'>, work: DueFacts | null): Successor | null {
  if (work === null) return null;
  switch (report.outcome) {
    case 'bank_gone':
      return null;
    case 'time_up':
    case 'yielded':
    case 'aborted':
      return hasDueWork(work) ? { at: work.now, trigger: 'successor' } : later(work);
    case 'drained': {
      // The slice saw nothing left. Rows that look due all the same came after its last look; should they be rows
      // that a slice never takes, a pause keeps the pair from spinning.
      const next = later(work);
      return next && hasDueWork(work) ? { ...next, at: latest(next.at, new Date(work.now.getTime() + quietMs)) } : next;
    }
    case 'deferred': {
      if (dueAt(work) === null) return null;
      const at = report.retryAt ?? new Date(work.now.getTime() + unnamedDeferralMs);
      return { at: latest(at, new Date(work.now.getTime() + shortestDeferralMs)), trigger: 'deferred' };
    }
  }
}

function later(work: DueFacts): Successor | null {
  const at = dueAt(work);
  return at && { at, trigger: 'scheduled' };
}

function latest(left: Date, right: Date): Date {
  return left.getTime() >= right.getTime() ? left : right;
}
