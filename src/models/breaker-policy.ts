import type { ProviderErrorClass } from './provider-errors.ts';

/** What opens a breaker. */
export type BreakerClass = Exclude<ProviderErrorClass, 'content'>;

interface Bounds {
  readonly minMs: number;
  /** Upper end of the first wait; it doubles with each failed probe. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** Of the end of a wait, what it is at least; unset: nothing, the whole wait is left to chance. */
  readonly leastShare?: number;
}

const second = 1000;
const minute = 60 * second;

/**
 * How long an endpoint is left alone. What passes by itself is looked at again within a minute or so; what waits for a
 * person is not worth more than a request every few minutes.
 */
export const probeBounds: Readonly<Record<BreakerClass, Bounds>> = {
  transient: { minMs: 250, firstMs: 500, maxMs: minute },
  // A hang costs its prompt each time.
  timeout: { minMs: second, firstMs: 4 * second, maxMs: minute },
  rate_limit: { minMs: second, firstMs: 4 * second, maxMs: 5 * minute },
  quota: { minMs: 15 * minute, firstMs: 20 * minute, maxMs: 60 * minute },
  auth: { minMs: minute, firstMs: 2 * minute, maxMs: 10 * minute },
  // A name or address is corrected within minutes or tomorrow. Never sooner than half of what it may be: six probes in the
  // first hour at the most, so that a wrong name costs ten calls with the four of a slow start. A restart asks at once.
  configuration: { minMs: minute, firstMs: 2.5 * minute, maxMs: 30 * minute, leastShare: 0.5 },
  model_unfit: { minMs: 5 * minute, firstMs: 10 * minute, maxMs: 60 * minute },
};

/** So many failures in a row at the times that a server itself had named, and it is asked less often than it says. */
const trustedTimes = 5;

/** A header that says more than this is a mistake, or a way to be silenced for ever. */
const longestRetryAfterMs = 31 * 24 * 60 * minute;

/**
 * From a failure to the next probe, in ms. Where the server says when (`retryAfterMs`), exactly then, but for a 0 and for a
 * server whose times have passed five times in vain; else anywhere (`random` is 0 to 1) between the shortest wait of the
 * class and an end that doubles with each failure in a row, so that many daemons do not come back as one.
 */
export function probeDelayMs(
  failure: { readonly errorClass: BreakerClass; readonly failures: number; readonly retryAfterMs: number | null },
  random: number,
): number {
  const { minMs, firstMs, maxMs, leastShare = 0 } = probeBounds[failure.errorClass];
  const endMs = Math.min(maxMs, firstMs * 2 ** Math.max(0, failure.failures - 1));
  const leastMs = Math.max(minMs, endMs * leastShare);
  const jitteredMs = Math.round(leastMs + random * (endMs - leastMs));
  if (failure.retryAfterMs === null) return jitteredMs;
  const askedMs = Math.min(Math.max(0, Math.ceil(failure.retryAfterMs)), longestRetryAfterMs);
  if (failure.failures > trustedTimes) return Math.max(askedMs, jitteredMs);
  // A quota's or key's shortest wait is for those who say nothing; a second is short enough for whoever does.
  return Math.max(askedMs, Math.min(minMs, second));
}

/** What is known of an endpoint and model that is out of order. */
export interface BreakerTimes {
  readonly reopensAt: Date;
  readonly probeId: string | null;
  readonly probeUntil: Date | null;
}

export type BreakerStep =
  /** Nobody is trying, and it is time to. */
  | { readonly kind: 'claim' }
  | { readonly kind: 'not_due'; readonly until: Date }
  /** Somebody is trying; whoever died over it is waited for until then. */
  | { readonly kind: 'probing'; readonly until: Date };

export function breakerStep(row: BreakerTimes, now: Date): BreakerStep {
  if (row.probeId !== null && row.probeUntil !== null && row.probeUntil > now) {
    return { kind: 'probing', until: row.probeUntil };
  }
  return row.reopensAt > now ? { kind: 'not_due', until: row.reopensAt } : { kind: 'claim' };
}
