import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type BackupAttempt, type BackupDueFacts, backupDue } from '../../src/lifecycle/backup-due.ts';
import { onNextDay } from '../../src/lifecycle/local-time.ts';

const zone = process.env.TZ;
afterEach(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const threeMinute = 180;
const long = new Date('2026-01-01T00:00:00Z');
const iso = (time: Date) => time.toISOString();
const later = (time: Date, ms: number) => new Date(time.getTime() + ms);

function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
}
const good = (startedAt: string): BackupAttempt => ({
  startedAt: new Date(startedAt),
  finishedAt: new Date(startedAt),
  isGood: true,
});
const failed = (startedAt: string, finishedAt: string | null = startedAt): BackupAttempt => ({
  startedAt: new Date(startedAt),
  finishedAt: finishedAt === null ? null : new Date(finishedAt),
  isGood: false,
});
/** `due`, or until when it is not. */
function ask(now: string, attempts: readonly BackupAttempt[], bornAt = long, atMinute = threeMinute): string {
  const decision = backupDue({ now: new Date(now), atMinute, attempts, bornAt });
  return decision.kind === 'due' ? 'due' : iso(decision.until);
}

describe('a local time on the next day', () => {
  it.each([
    ['before it', 'UTC', '03:00', '2026-01-15T02:59:59.999Z', '2026-01-16T03:00:00.000Z'],
    ['after it', 'UTC', '03:00', '2026-01-15T23:59:59.999Z', '2026-01-16T03:00:00.000Z'],
    ['over the end of a year', 'Asia/Kolkata', '23:30', '2025-12-31T18:00:00Z', '2026-01-01T18:00:00.000Z'],
    // Berlin, 2026-03-29: 01:59 is followed by 03:00.
    ['skipped: where clocks go on', 'Europe/Berlin', '02:30', '2026-03-28T12:00:00Z', '2026-03-29T01:00:00.000Z'],
    // Berlin, 2026-10-25: 02:59 is followed by 02:00 once more.
    ['twice: the first', 'Europe/Berlin', '02:30', '2026-10-24T12:00:00Z', '2026-10-25T00:30:00.000Z'],
    ['twice: not the second', 'Europe/Berlin', '02:30', '2026-10-25T00:30:00Z', '2026-10-26T01:30:00.000Z'],
    // Lord Howe, 2026-10-04: 01:59 is followed by 02:30.
    ['half an hour skipped', 'Australia/Lord_Howe', '02:15', '2026-10-03T12:00:00Z', '2026-10-03T15:30:00.000Z'],
    // Nuuk, 2026-03-28: 22:59 is followed by 00:00 of the next day.
    [
      'skipped at the end of a day: its last',
      'America/Nuuk',
      '23:30',
      '2026-03-27T12:00:00Z',
      '2026-03-29T00:59:00.000Z',
    ],
    // Apia had no 30th of December 2011.
    ['a day that is skipped has none', 'Pacific/Apia', '03:00', '2011-12-29T13:00:00Z', '2011-12-30T13:00:00.000Z'],
    // St. John's, 2010-11-07: 00:00 is followed by 23:01 of the day before.
    ['a midnight that comes twice', 'America/St_Johns', '00:00', '2010-11-06T12:00:00Z', '2010-11-07T02:30:00.000Z'],
    ['and not again', 'America/St_Johns', '00:00', '2010-11-07T02:40:00Z', '2010-11-08T03:30:00.000Z'],
  ])('%s', (_what, tz, at, after, next) => {
    process.env.TZ = tz;
    expect(iso(onNextDay(minuteOf(at), new Date(after)))).toBe(next);
  });
});

describe('when a backup is due', () => {
  it.each([
    ['fresh', '2026-03-04T12:00:00Z', [good('2026-03-04T03:00:10Z')], '2026-03-05T03:00:00.000Z'],
    [
      'a day old, before its time',
      '2026-03-05T02:59:59.999Z',
      [good('2026-03-04T03:00:00Z')],
      '2026-03-05T03:00:00.000Z',
    ],
    ['a day old, at its time', '2026-03-05T03:00:00Z', [good('2026-03-04T03:00:10Z')], 'due'],
    ['missed while the machine was off: at once', '2026-03-05T10:00:00Z', [good('2026-03-04T03:00:10Z')], 'due'],
    ['missed for weeks', '2026-03-05T10:00:00Z', [good('2026-02-04T03:00:10Z')], 'due'],
    [
      'caught up with at ten: not again before 23 h',
      '2026-03-06T03:00:00Z',
      [good('2026-03-05T10:00:00Z')],
      '2026-03-06T09:00:00.000Z',
    ],
    [
      'somebody asked for one in the evening',
      '2026-03-05T03:00:00Z',
      [good('2026-03-04T20:00:00Z')],
      '2026-03-05T19:00:00.000Z',
    ],
    [
      'somebody asked for one just before its time: back to it at once',
      '2026-03-05T03:00:00Z',
      [good('2026-03-05T02:00:00Z'), good('2026-03-04T03:00:00Z')],
      '2026-03-06T03:00:00.000Z',
    ],
    [
      'or in the middle of the night before',
      '2026-03-05T03:00:00Z',
      [good('2026-03-05T00:30:00Z')],
      '2026-03-06T01:30:00.000Z',
    ],
    ['never one: counted from the birth', '2026-03-05T03:00:00Z', [], 'due'],
  ])('%s', (_what, now, attempts, expected) => {
    process.env.TZ = 'UTC';
    expect(ask(now, attempts)).toBe(expected);
  });

  it('a database of today has nothing to lose yet', () => {
    process.env.TZ = 'UTC';
    const born = new Date('2026-03-04T14:00:00Z');
    expect(ask('2026-03-04T14:00:00Z', [], born)).toBe('2026-03-05T03:00:00.000Z');
    expect(ask('2026-03-05T03:00:00Z', [], born)).toBe('due');
  });

  it('a clock that is set back takes none twice', () => {
    process.env.TZ = 'UTC';
    const attempts = [good('2026-03-05T03:00:05Z')];
    expect(ask('2026-03-05T02:00:00Z', attempts)).toBe('2026-03-06T03:00:00.000Z');
    expect(ask('2026-03-05T03:00:00Z', attempts)).toBe('2026-03-06T03:00:00.000Z');
    expect(ask('2026-03-04T10:00:00Z', attempts)).toBe('2026-03-06T03:00:00.000Z');
  });

  it('one that a wrong clock put days ahead does not stop backups', () => {
    process.env.TZ = 'UTC';
    const wrong = good('2031-01-01T03:00:00Z');
    expect(ask('2026-03-05T10:00:00Z', [wrong])).toBe('due');
    expect(ask('2026-03-05T10:00:00Z', [wrong, good('2026-03-05T03:00:00Z')])).toBe('2026-03-06T03:00:00.000Z');
    expect(ask('2026-03-05T10:00:00Z', [wrong], new Date('2031-01-01T00:00:00Z'))).toBe('due');
  });

  it('a day is the longest that is believed', () => {
    process.env.TZ = 'UTC';
    expect(ask('2026-03-05T10:00:00.000Z', [good('2026-03-06T10:00:00.000Z')])).toBe('2026-03-07T09:00:00.000Z');
    expect(ask('2026-03-05T10:00:00.000Z', [good('2026-03-06T10:00:00.001Z')])).toBe('due');
  });

  describe('what fails is tried again', () => {
    const last = good('2026-03-04T03:00:00Z');
    it.each([
      [1, '10 min', 10],
      [2, '20 min', 20],
      [3, '40 min', 40],
      [6, '320 min', 320],
      [7, '6 h at most', 360],
      [40, '6 h at most', 360],
    ])('after %i: %s', (count, _what, pauseMinutes) => {
      process.env.TZ = 'UTC';
      const end = new Date('2026-03-20T12:00:00Z');
      const attempts = Array.from({ length: count }, (_, index) => failed(iso(later(end, -index * hourMs))));
      const until = later(end, pauseMinutes * minuteMs);
      expect(ask(iso(end), [last, ...attempts])).toBe(iso(until));
      expect(ask(iso(later(until, -1)), [last, ...attempts])).toBe(iso(until));
      expect(ask(iso(until), [last, ...attempts])).toBe('due');
    });

    it('counted from its end, and from its start where whoever took it has died', () => {
      process.env.TZ = 'UTC';
      const long = failed('2026-03-05T03:00:00Z', '2026-03-05T04:00:00Z');
      expect(ask('2026-03-05T04:05:00Z', [last, long])).toBe('2026-03-05T04:10:00.000Z');
      expect(ask('2026-03-05T03:05:00Z', [last, failed('2026-03-05T03:00:00Z', null)])).toBe(
        '2026-03-05T03:10:00.000Z',
      );
    });

    it('a good one ends it', () => {
      process.env.TZ = 'UTC';
      const attempts = [failed('2026-03-05T03:00:00Z'), failed('2026-03-05T03:10:00Z'), good('2026-03-05T03:30:00Z')];
      expect(ask('2026-03-06T03:00:00Z', attempts)).toBe('due');
    });

    it('a failure that lies ahead of a clock that was set back is not waited for', () => {
      process.env.TZ = 'UTC';
      expect(ask('2026-03-05T04:00:00Z', [last, failed('2026-03-05T09:00:00Z')])).toBe('due');
    });
  });
});

/** What a daemon does that ticks every half minute, from `from` to `to`. */
function live(
  facts: { readonly from: Date; readonly to: Date; readonly atMinute: number },
  lateMs: () => number,
  isOff: (now: Date) => boolean = () => false,
): Date[] {
  const taken: Date[] = [];
  const attempts: BackupAttempt[] = [];
  let now = facts.from;
  while (now < facts.to) {
    const asked: BackupDueFacts = { now, atMinute: facts.atMinute, attempts: attempts.slice(-3), bornAt: facts.from };
    const due = backupDue(asked);
    if (isOff(now)) {
      now = later(now, hourMs);
    } else if (due.kind === 'wait') {
      expect(due.until > now).toBe(true);
      now = later(due.until, lateMs());
    } else {
      taken.push(now);
      attempts.push({ startedAt: now, finishedAt: later(now, minuteMs), isGood: true });
      now = later(now, minuteMs);
    }
  }
  return taken;
}

const dayOf = (time: Date) => `${time.getFullYear()}-${time.getMonth() + 1}-${time.getDate()}`;
const zones = [
  ['UTC', 2025],
  ['Asia/Kolkata', 2025],
  ['Europe/Berlin', 2025],
  ['America/New_York', 2025],
  ['Australia/Lord_Howe', 2025],
  ['America/Havana', 2025],
  ['America/Santiago', 2025],
  ['America/Nuuk', 2025],
  ['America/St_Johns', 2010],
  ['Pacific/Apia', 2011],
] as const;

describe.each(zones)('over the days of two years in %s', (tz, year) => {
  it('exactly one a local day, those of 23 and of 25 hours among them', () => {
    process.env.TZ = tz;
    fc.assert(
      fc.property(
        fc.constantFrom(...Array.from({ length: 48 }, (_, index) => index * 30), 1439),
        fc.infiniteStream(fc.integer({ min: 0, max: 29_999 })),
        (atMinute, lateness) => {
          const from = new Date(year, 0, 1, 12);
          const to = new Date(year + 2, 0, 1, 12);
          const taken = live({ from, to, atMinute }, () => lateness.next().value ?? 0);
          const days = new Set<string>();
          for (let time = later(from, 36 * hourMs); time < later(to, -36 * hourMs); time = later(time, hourMs)) {
            days.add(dayOf(time));
          }
          const counted = Map.groupBy(taken, dayOf);
          for (const day of days) expect([day, counted.get(day)?.length]).toEqual([day, 1]);
        },
      ),
      { numRuns: 6 },
    );
  });

  it('with a machine that is off for any length of time: never two a day, and none is left out', () => {
    process.env.TZ = tz;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1439 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 120 * 24 }), fc.integer({ min: 1, max: 90 })), { maxLength: 20 }),
        (atMinute, offs) => {
          const from = new Date(year, 8, 1, 12);
          const isOff = (now: Date) =>
            offs.some(([fromHour, hours]) => {
              const hour = (now.getTime() - from.getTime()) / hourMs;
              return hour >= fromHour && hour < fromHour + hours;
            });
          const taken = live({ from, to: later(from, 120 * 24 * hourMs), atMinute }, () => 0, isOff);
          expect(new Set(taken.map(dayOf)).size).toBe(taken.length);
          for (const [index, at] of taken.entries()) {
            const before = taken[index - 1];
            if (before) expect(at.getTime() - before.getTime()).toBeGreaterThanOrEqual(23 * hourMs);
            const waitedMs = at.getTime() - (before ?? from).getTime();
            // At once after the machine is back, else within 25 h.
            if (waitedMs > 25 * hourMs) expect(isOff(later(at, -hourMs))).toBe(true);
          }
        },
      ),
      { numRuns: 20 },
    );
  });
});
