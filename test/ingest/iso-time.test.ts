import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseIsoTime } from '../../src/ingest/iso-time.ts';

test.each([
  ['2026-02-03', '2026-02-03T00:00:00.000Z'],
  ['2024-02-29', '2024-02-29T00:00:00.000Z'],
  ['0099-03-01', '0099-03-01T00:00:00.000Z'],
  ['2026-02-03T10:20', '2026-02-03T10:20:00.000Z'],
  ['2026-02-03T10:20:30', '2026-02-03T10:20:30.000Z'],
  ['2026-02-03T10:20:30.5Z', '2026-02-03T10:20:30.500Z'],
  ['2026-02-03T10:20:30.123456789+02:00', '2026-02-03T08:20:30.123Z'],
  ['2026-02-03T10:20-0330', '2026-02-03T13:50:00.000Z'],
  ['2026-02-03T00:30+14', '2026-02-02T10:30:00.000Z'],
])('%s is %s', (text, expected) => {
  expect(new Date(parseIsoTime(text) ?? Number.NaN).toISOString()).toBe(expected);
});

test.each([
  ['0001-01-01T23:59:59.999Z', false],
  ['0001-01-02', true],
  ['0001-01-02T00:00+00:01', false],
  ['0001-01-01T23:59-00:01', true],
  ['9999-12-30', true],
  ['9999-12-30T00:00:00.001Z', false],
  ['9999-12-30T14:00+14:00', true],
  ['9999-12-29T23:59-00:02', false],
])('only instants that PostgreSQL can keep are times: %s is one: %s', (text, isTime) => {
  expect(parseIsoTime(text) !== undefined).toBe(isTime);
});

test('what JavaScript writes comes back as the same instant', () => {
  const dates = fc.date({
    min: new Date('0001-01-02T00:00:00Z'),
    max: new Date('9999-12-30T00:00:00Z'),
    noInvalidDate: true,
  });
  fc.assert(fc.property(dates, (date) => parseIsoTime(date.toISOString()) === date.getTime()));
});

test('no text makes it throw', () => {
  fc.assert(
    fc.property(
      fc.string(),
      (text) => [undefined, 'number'].includes(typeof parseIsoTime(text)) || parseIsoTime(text) === undefined,
    ),
  );
});
