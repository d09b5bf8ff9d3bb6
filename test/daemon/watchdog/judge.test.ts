import { describe, expect, it } from 'vitest';
import {
  firstStanding,
  isTickYoung,
  judge,
  probeEveryMs,
  type Round,
  recentKills,
  type Standing,
} from '../../../src/daemon/watchdog/judge.ts';
import { Vitals } from '../../../src/daemon/watchdog/vitals.ts';
import { watchdogTimings } from '../../../src/daemon/watchdog/watchdog-config.ts';

const good: Partial<Round> = { outcome: 'good' };
const missed: Partial<Round> = { outcome: 'missed' };
const missedLate: Partial<Round> = { outcome: 'missed', wasLate: true };

/** Strikes after each round; they are ten seconds apart. */
function strikes(rounds: readonly Partial<Round>[], graceMs = 0): number[] {
  let standing: Standing = firstStanding;
  return rounds.map((round, at) => {
    standing = judge(standing, { outcome: 'good', wasLate: false, atMs: at * 10_000, ...round }, graceMs);
    return standing.strikes;
  });
}

describe('strikes', () => {
  it('count misses in a row', () => {
    expect(strikes([good, missed, missed, good, missed, missed, missed])).toEqual([0, 1, 2, 0, 1, 2, 3]);
  });

  it('are forgotten when a timer was late: a laptop that slept is not killed', () => {
    expect(strikes([good, missed, missed, missedLate, missed, missed])).toEqual([0, 1, 2, 0, 1, 2]);
    expect(strikes([good, missedLate, missedLate, missedLate, missedLate])).toEqual([0, 0, 0, 0, 0]);
  });

  it('begin with the first answer, or when the time to start is over', () => {
    expect(strikes([missed, missed, missed, good, missed, missed], 120_000)).toEqual([0, 0, 0, 0, 1, 2]);
    expect(strikes([missed, missed, missed, missed, missed], 20_000)).toEqual([0, 0, 1, 2, 3]);
    expect(strikes([missed, missedLate, missed, missed], 10_000)).toEqual([0, 0, 1, 2]);
  });
});

describe('recentKills', () => {
  const now = new Date('2026-03-02T12:00:00Z');
  const at = (time: string, killed = true) => ({ at: new Date(`2026-03-02T${time}Z`), killed });

  it.each([
    ['none', [], 0],
    ['those of the last ten minutes', [at('11:49:59'), at('11:50:00'), at('11:50:01'), at('11:59:59')], 2],
    ['no record of anything else', [at('11:55:00', false), at('11:56:00')], 1],
    [
      'what a clock set back since has put ahead, but not for ever',
      [at('12:09:59'), at('12:10:00'), at('18:00:00')],
      1,
    ],
  ])('counts %s', (_, records, expected) => {
    expect(recentKills(records, now, 600_000)).toBe(expected);
  });
});

describe('isTickYoung', () => {
  it.each([
    [49_999, 10_000, true],
    [50_000, 10_000, false],
    [3_600_000, 30 * 60_000, true],
  ])('%i ms old, every %i ms: %s', (ageMs, everyMs, expected) => {
    expect(isTickYoung({ ageMs, everyMs })).toBe(expected);
  });

  it('is not judged while no tick is scheduled', () => {
    const ofMain = new Vitals();
    const ofThread = new Vitals(ofMain.buffer);
    expect(ofThread.tick).toBeNull();
    expect(isTickYoung(ofThread.tick)).toBe(true);
    ofMain.ticked(2500);
    expect(ofThread.tick).toEqual({ everyMs: 2500, ageMs: expect.any(Number) });
    expect(isTickYoung(ofThread.tick)).toBe(true);
    ofMain.ticked(null);
    expect(ofThread.tick).toBeNull();
  });
});

describe('probeEveryMs', () => {
  it.each([
    ['awake', 0, null, 10_000],
    ['parked', 0, null, 30_000],
    ['parked, after a miss', 1, null, 10_000],
    ['parked, for a supervisor who waits 40 s', 0, 20_000, 20_000],
    ['awake, for a supervisor who waits 2 minutes', 0, 60_000, 10_000],
  ])('%s', (name, strikes, notifyEveryMs, expected) => {
    const pace = name.startsWith('awake') ? 'awake' : 'parked';
    expect(probeEveryMs({ pace, strikes, notifyEveryMs }, watchdogTimings)).toBe(expected);
  });
});
