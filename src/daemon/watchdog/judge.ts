import type { Pace, WatchdogTimings } from './watchdog-config.ts';

/** In a row. */
export const strikesToKill = 3;
/** With this many kills in so short a time, another restart would not help either. */
export const killsToStop = 3;

/** One probe, from the timer before it to its outcome. */
export interface Round {
  readonly outcome: 'good' | 'missed';
  /** A timer of the round fired long after its time: this process, or the machine, did not run for a while. */
  readonly wasLate: boolean;
  /** Since the watchdog started, by the monotonic clock. */
  readonly atMs: number;
}

export interface Standing {
  readonly strikes: number;
  /** Until it has answered once, or its time to start is over, a miss is no strike. */
  readonly isStarting: boolean;
}

export const firstStanding: Standing = { strikes: 0, isStarting: true };

/** What a round comes to. A laptop that slept must not be killed, nor a daemon that is still starting. */
export function judge(before: Standing, round: Round, graceMs: number): Standing {
  if (round.outcome === 'good') return { strikes: 0, isStarting: false };
  const isStarting = before.isStarting && round.atMs < graceMs;
  if (round.wasLate || isStarting) return { strikes: 0, isStarting };
  return { strikes: before.strikes + 1, isStarting };
}

/** Kills that count for the breaker. One that a clock set back since has put into the future counts as long as any other. */
export function recentKills(
  records: readonly { readonly at: Date; readonly killed: boolean }[],
  now: Date,
  withinMs: number,
): number {
  return records.filter(({ at, killed }) => killed && Math.abs(now.getTime() - at.getTime()) < withinMs).length;
}

/** A loop that answers but does not tick is not well either. Not judged where no tick is scheduled, as while parked. */
export function isTickYoung(tick: { readonly ageMs: number; readonly everyMs: number } | null): boolean {
  return tick === null || tick.ageMs < 2 * tick.everyMs + 30_000;
}

/** From the start of a probe to that of the next: soon after a miss, and often enough for what systemd waits for. */
export function probeEveryMs(
  now: { readonly pace: Pace; readonly strikes: number; readonly notifyEveryMs: number | null },
  timings: Pick<WatchdogTimings, 'awakeMs' | 'parkedMs'>,
): number {
  const paceMs = now.pace === 'awake' || now.strikes > 0 ? timings.awakeMs : timings.parkedMs;
  return Math.min(paceMs, now.notifyEveryMs ?? paceMs);
}
