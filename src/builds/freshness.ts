import { isSameSize } from './size-class.ts';

/** What was saved, against what the bank is now. */
export interface FreshnessFacts {
  readonly ageSeconds: number;
  /** Rows it was built of. */
  readonly builtOf: number;
  readonly isComplete: boolean;
  /** Rows that would be built of now. */
  readonly rows: number;
  /** Rows that changed since; may be a lower bound, once that is above {@link dirtyLimit}. */
  readonly dirty: number;
}

/** `stale`: handed out as it is, and built again behind it. `missing`: of a bank of another size; waited for. */
export type Freshness = 'fresh' | 'stale' | 'missing';

/** A night's build does for the next night, an hour late. */
const oldestSeconds = 25 * 3600;

/** How many changed rows are too many: a fixed fifty would be over within eight hours in a bank that gets 150 a day. */
export function dirtyLimit(builtOf: number): number {
  return Math.max(50, builtOf / 50);
}

/** The fuse. It never makes a reader wait for a rebuild: that is for another size alone, since then most of it may be new. */
export function freshness(facts: FreshnessFacts): Freshness {
  if (!isSameSize(facts.builtOf, facts.rows)) return 'missing';
  if (!facts.isComplete) return 'stale';
  return facts.ageSeconds > oldestSeconds || facts.dirty > dirtyLimit(facts.builtOf) ? 'stale' : 'fresh';
}
