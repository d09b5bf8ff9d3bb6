import { describe, expect, it } from 'vitest';
import { wasAskedTooLately } from '../../../src/daemon/life/late-request.ts';
import type { LifecycleState, TransitionReason } from '../../../src/lifecycle/states.ts';
import type { LifeRow } from '../../../src/store/lifecycle.ts';

const now = new Date('2026-03-04T09:00:00Z');
const thresholds = { drowsyAfterSeconds: 300, sleepAfterSeconds: 1800, hibernateAfterSeconds: 7200, hibernates: true };

function moved(state: LifecycleState, reason: TransitionReason, secondsAgo: number, forced = false): LifeRow {
  return {
    state,
    since: new Date(now.getTime() - secondsAgo * 1000),
    reason,
    version: 1,
    bornAt: now,
    secondsSinceWoken: 9000,
    forceAgeSeconds: null,
    honouredForceAt: forced ? now : null,
    pause: null,
    tick: 1,
    tickedAt: now,
    tickSkipped: null,
    now,
    lastActivityAt: null,
    idleSeconds: 0,
    requestsInFlight: 0,
    leader: null,
  };
}

describe('a request that whoever moved the row did not know of', () => {
  it.each([
    ['drowsy', 'idle', 300],
    ['sleep', 'idle', 1800],
    ['sleep', 'quiet_hours', 30],
    ['hibernation', 'idle', 7200],
  ] as const)('wakes from %s for %s unless it was %i s before the move', (state, reason, required) => {
    const row = moved(state, reason, 10);
    const ago = (seconds: number) => wasAskedTooLately(row, (10 + seconds) * 1000, thresholds);
    expect(ago(-1)).toBe(true);
    expect(ago(1)).toBe(true);
    // Two seconds of slack, for clocks that are slewed.
    expect(ago(required - 2.1)).toBe(true);
    expect(ago(required - 1.9)).toBe(false);
    expect(ago(required)).toBe(false);
  });

  it('does not end a forced sleep that came after it', () => {
    const row = moved('sleep', 'forced', 10, true);
    expect(wasAskedTooLately(row, 11_000, thresholds)).toBe(false);
    expect(wasAskedTooLately(row, 9000, thresholds)).toBe(true);
  });

  it('is none where nobody asked, and none awake', () => {
    expect(wasAskedTooLately(moved('sleep', 'idle', 10), null, thresholds)).toBe(false);
    expect(wasAskedTooLately(moved('wake', 'activity', 10), 0, thresholds)).toBe(false);
  });
});
