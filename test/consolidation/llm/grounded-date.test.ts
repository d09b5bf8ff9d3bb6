import { describe, expect, it } from 'vitest';
import { groundedDate } from '../../../src/consolidation/llm/grounded-date.ts';
import { day, memory } from './batches.ts';

const midnight = (iso: string) => new Date(`${iso}T00:00:00.000Z`);
/** Said on Thursday, 5 March 2026. */
const says = (text: string, more = {}) => [memory('m1', text, more)];

describe('a date that a model wrote', () => {
  it.each<[string, string, string]>([
    ['2026-02-01', 'Ana moved to Porto on 1 February 2026.', 'the day'],
    ['2026-02-01', 'Ana moved to Porto on 2026-02-01.', 'the day in another spelling'],
    ['2026-02-01', 'Ana moved to Porto in February 2026.', 'the month, from its first'],
    ['2026-01-01', 'Ana has lived in Porto since 2026.', 'the year, from its first'],
    ['2026-02-10', 'Ana moved to Porto on 10 February.', 'the day without its year'],
    ['2026-03-04', 'Ana moved to Porto yesterday.', 'a day seen from the memory'],
    ['2026-03-06', 'Ana moves to Porto tomorrow.', 'a day that is to come'],
    ['2026-03-03', 'Ana moved to Porto on Tuesday.', 'a weekday beside it'],
    ['2026-02-26', 'Ana moved to Porto last week.', 'a day of the week named'],
    ['2026-02-27', 'Ana moved to Porto last Friday.', 'a Friday, either'],
    ['2026-02', 'Ana moved to Porto in February 2026.', 'written as a month'],
    ['2019', 'Ana has lived in Porto since 2019.', 'written as a year'],
    ['2026-02-01T15:00:00+02:00', 'Ana moved to Porto on 1 February 2026.', 'with a time of day'],
  ])('%s is taken where a memory says: %s (%s)', (written, text) => {
    const start = written.slice(0, 10);
    expect(groundedDate(written, says(text))).toEqual(midnight(`${start}${'-01'.repeat((10 - start.length) / 3)}`));
  });

  it.each<[string, string]>([
    ['2026-02-02', 'Ana moved to Porto on 1 February 2026.'],
    ['2025-02-01', 'Ana moved to Porto on 1 February 2026.'],
    ['2026-02-17', 'Ana moved to Porto in February 2026.'],
    ['2026-05-01', 'Ana has lived in Porto since 2026.'],
    ['2022-02-10', 'Ana moved to Porto on 10 February.'],
    ['2026-03-02', 'Ana moved to Porto yesterday.'],
    ['2026-04-07', 'Ana moved to Porto on Tuesday.'],
    ['2026-01-02', 'Ana moved to Porto last Friday.'],
    ['2099-01-01', 'Ana lives in Porto.'],
    ['2026-02-30', 'Ana moved to Porto on 30 February 2026.'],
    ['yesterday', 'Ana moved to Porto yesterday.'],
    ['', 'Ana lives in Porto.'],
  ])('%s is not taken from: %s', (written, text) => {
    expect(groundedDate(written, says(text))).toBeNull();
  });

  it("is the memory's own instant where it is that day, so that two of a day stay in order", () => {
    expect(groundedDate('2026-03-05', says('Ana lives in Porto.'))).toEqual(day('2026-03-05'));
    expect(groundedDate('2026-03-02', says('Ana lives in Porto.', { occurredStart: day('2026-03-02') }))).toEqual(
      day('2026-03-02'),
    );
  });

  it('has to stand in a memory that is cited', () => {
    const moved = memory('m1', 'Ana moved to Porto on 1 February 2026.');
    expect(groundedDate('2026-02-01', [memory('m2', 'Ana lives in Porto.'), moved])).toEqual(midnight('2026-02-01'));
    expect(groundedDate('2026-02-01', [])).toBeNull();
  });
});
