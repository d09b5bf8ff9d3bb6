import type { HoldReason, IdleDecision } from '../../lifecycle/idle-facts.ts';

/** Between ticks where nothing calls for an earlier one. */
export const tickEveryMs = 30_000;

const shortestMs = 50;
/** What ends without anybody saying so is looked after more often than what only time ends. */
const unheardEveryMs = 5000;
const forcedEveryMs = 1000;

const endsUnheard: ReadonlySet<HoldReason> = new Set([
  'jobs_active',
  'work_to_do',
  'requests_in_flight',
  'unknown_work',
]);

/** How long until the next tick: no later than something would change by itself. A follower has nothing to decide. */
export function untilNextTickMs(idle: IdleDecision | null, isSleepForced: boolean): number {
  if (idle === null) return tickEveryMs;
  if (idle.to !== 'stay') return shortestMs;
  const { heldBy, nextLookSeconds } = idle;
  const lookMs = nextLookSeconds === null ? tickEveryMs : Math.ceil(nextLookSeconds * 1000);
  const mostMs = !endsUnheard.has(heldBy) ? tickEveryMs : isSleepForced ? forcedEveryMs : unheardEveryMs;
  return Math.max(shortestMs, Math.min(mostMs, lookMs));
}
