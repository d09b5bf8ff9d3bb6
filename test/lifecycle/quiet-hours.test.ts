import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { inQuietHours, nextQuietStart } from '../../src/lifecycle/quiet-hours.ts';

const zone = process.env.TZ;
afterEach(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

const hours = (from: string, to: string) => ({ fromMinute: minutes(from), toMinute: minutes(to) });
function minutes(text: string): number {
  const [hour = 0, minute = 0] = text.split(':').map(Number);
  return hour * 60 + minute;
}

describe('quiet hours', () => {
  it.each([
    ['02:00', '06:00', '01:59:59.999', false],
    ['02:00', '06:00', '02:00', true],
    ['02:00', '06:00', '05:59:59.999', true],
    ['02:00', '06:00', '06:00', false],
    ['22:00', '06:00', '21:59:59.999', false],
    ['22:00', '06:00', '22:00', true],
    ['22:00', '06:00', '00:00', true],
    ['22:00', '06:00', '05:59:59.999', true],
    ['22:00', '06:00', '06:00', false],
    ['00:00', '23:59', '23:58', true],
    ['00:00', '23:59', '23:59', false],
  ])('from %s to %s: at %s %s', (from, to, time, isQuiet) => {
    process.env.TZ = 'America/St_Johns';
    expect(inQuietHours(hours(from, to), new Date(`2026-01-15T${time}`))).toBe(isQuiet);
  });

  it('are never where none are set', () => {
    expect(inQuietHours(undefined, new Date())).toBe(false);
    expect(nextQuietStart(undefined, new Date())).toBeNull();
  });

  it.each([
    ['later today', 'UTC', '02:00', '06:00', '2026-01-15T01:59:59.999Z', '2026-01-15T02:00:00.000Z'],
    ['those at hand do not count', 'UTC', '02:00', '06:00', '2026-01-15T02:00:00Z', '2026-01-16T02:00:00.000Z'],
    ['over the end of a month', 'UTC', '22:00', '06:00', '2026-02-28T23:00:00Z', '2026-03-01T22:00:00.000Z'],
    ['of half an hour', 'Asia/Kolkata', '02:00', '06:00', '2026-01-15T00:00:00Z', '2026-01-15T20:30:00.000Z'],
    // Berlin, 2026-03-29: 01:59 is followed by 03:00.
    [
      'a start that is skipped: where the gap ends',
      'Europe/Berlin',
      '02:30',
      '06:00',
      '2026-03-29T00:00:00Z',
      '2026-03-29T01:00:00.000Z',
    ],
    [
      'a night that is skipped: the next one',
      'Europe/Berlin',
      '02:10',
      '02:50',
      '2026-03-29T00:00:00Z',
      '2026-03-30T00:10:00.000Z',
    ],
    // Berlin, 2026-10-25: 02:59 is followed by 02:00 once more.
    [
      'a start that comes twice: the first',
      'Europe/Berlin',
      '02:30',
      '06:00',
      '2026-10-25T00:00:00Z',
      '2026-10-25T00:30:00.000Z',
    ],
    [
      'a start that comes twice: the second',
      'Europe/Berlin',
      '02:30',
      '06:00',
      '2026-10-25T01:00:00Z',
      '2026-10-25T01:30:00.000Z',
    ],
    // Apia had no 30th of December 2011.
    ['a day that is skipped', 'Pacific/Apia', '02:00', '06:00', '2011-12-29T20:00:00Z', '2011-12-30T12:00:00.000Z'],
  ])('begin next: %s', (_what, tz, from, to, now, start) => {
    process.env.TZ = tz;
    expect(nextQuietStart(hours(from, to), new Date(now))?.toISOString()).toBe(start);
  });

  it('begin where they were not, wherever and whenever, and nowhere sooner', () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    const time = fc.date({ min: new Date('2025-01-01'), max: new Date('2027-01-01'), noInvalidDate: true });
    for (const tz of ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/St_Johns']) {
      process.env.TZ = tz;
      fc.assert(
        fc.property(
          minute,
          minute,
          time,
          fc.double({ min: 0, max: 1, noNaN: true }),
          (fromMinute, toMinute, now, part) => {
            if (fromMinute === toMinute) return;
            const set = { fromMinute, toMinute };
            const start = nextQuietStart(set, now);
            if (!start) return expect.unreachable('there is always a next one');
            expect(start > now).toBe(true);
            expect(inQuietHours(set, start)).toBe(true);
            expect(inQuietHours(set, new Date(start.getTime() - 1))).toBe(false);
            const between = new Date(now.getTime() + part * (start.getTime() - 1 - now.getTime()));
            if (!inQuietHours(set, now)) expect(inQuietHours(set, between)).toBe(false);
          },
        ),
        { numRuns: 50 },
      );
    }
  });
});
