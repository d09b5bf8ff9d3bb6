import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { localDay, nextLocalMidnight } from '../../../src/models/local-day.ts';

const zone = process.env.TZ;
afterEach(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

describe('the local day', () => {
  it.each([
    // Clocks go forward at two, at midnight; back at three, at midnight.
    ['Europe/Berlin', '2026-03-29T00:30:00+01:00', '2026-03-29', '2026-03-29T22:00:00.000Z'],
    ['Europe/Berlin', '2026-10-25T00:30:00+02:00', '2026-10-25', '2026-10-25T23:00:00.000Z'],
    ['America/Sao_Paulo', '2018-11-03T23:59:59-03:00', '2018-11-03', '2018-11-04T03:00:00.000Z'],
    ['America/Sao_Paulo', '2018-02-17T23:30:00-02:00', '2018-02-17', '2018-02-18T03:00:00.000Z'],
    ['America/Sao_Paulo', '2018-02-17T23:30:00-03:00', '2018-02-17', '2018-02-18T03:00:00.000Z'],
    ['Pacific/Kiritimati', '2026-01-01T12:00:00Z', '2026-01-02', '2026-01-02T10:00:00.000Z'],
    ['UTC', '2026-12-31T23:59:59.999Z', '2026-12-31', '2027-01-01T00:00:00.000Z'],
  ])('in %s at %s is %s and ends at %s', (tz, time, day, end) => {
    process.env.TZ = tz;
    expect(localDay(new Date(time))).toBe(day);
    expect(nextLocalMidnight(new Date(time)).toISOString()).toBe(end);
  });

  it('ends where the next begins, everywhere and at any time', () => {
    const zones = [
      'UTC',
      'Europe/Berlin',
      'America/Sao_Paulo',
      'Asia/Beirut',
      'Australia/Lord_Howe',
      'America/St_Johns',
    ];
    for (const tz of zones) {
      process.env.TZ = tz;
      fc.assert(
        fc.property(
          fc.date({ min: new Date('2010-01-01'), max: new Date('2030-01-01'), noInvalidDate: true }),
          (time) => {
            const end = nextLocalMidnight(time);
            expect(end > time).toBe(true);
            expect(localDay(new Date(end.getTime() - 1))).toBe(localDay(time));
            expect(localDay(end) > localDay(time)).toBe(true);
          },
        ),
        { numRuns: 300 },
      );
    }
  });
});
