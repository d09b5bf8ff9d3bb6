import { describe, expect, it } from 'vitest';
import { compareTexts } from '../../../src/consolidation/values/compare-values.ts';

/** The same value in two spellings. */
const alike: readonly (readonly [string, string])[] = [
  ['The timeout is 1.5 s.', 'The timeout is 1500 ms.'],
  ['The timeout is 1.5 seconds.', 'The timeout is 1,500 milliseconds.'],
  ['It costs 1,500 euros.', 'It costs 1500 €.'],
  ['It costs $5.', 'It costs five dollars.'],
  ['It costs US$ 1,200.', 'It costs 1200 dollars.'],
  ['It costs 12,50 €.', 'It costs 12.50 euros.'],
  ['We have 3 vans.', 'We have three vans.'],
  ['We sold 2M units.', 'We sold two million units.'],
  ['We sold 5k tickets.', 'We sold 5,000 tickets.'],
  ['It holds 212\u00a0000 litres.', 'It holds 212,000 l.'],
  ['About 23 guests came.', 'About twenty-three guests came.'],
  ['There were 1,250 guests.', 'There were one thousand two hundred and fifty guests.'],
  ['Take 2.5 spoons.', 'Take two and a half spoons.'],
  ['Take ½ a pill.', 'Take half a pill.'],
  ['Take 1½ pills.', 'Take 1.5 pills.'],
  ['Take a dozen eggs.', 'Take 12 eggs.'],
  ['It covers 40 % of it.', 'It covers forty per cent of it.'],
  ['It was the 2nd try.', 'It was the second try.'],
  ['It was the twenty-first try.', 'It was the 21st try.'],
  ['A sprint is two weeks.', 'A sprint is a fortnight.'],
  ['Lunch takes 90 minutes.', 'Lunch takes 1.5 hours.'],
  ['The fence is 120 cm high.', 'The fence is 1.2 m high.'],
  ['The limit is 1 GiB.', 'The limit is 1024 MiB.'],
  ['Standup is at 9:30.', 'Standup is at 9.30 am.'],
  ['Standup is at 14:00.', 'Standup is at 2 pm.'],
  ['Standup is at 2 p.m. sharp.', 'Standup is at two in the afternoon sharp.'],
  ['The shop opens at half past eight.', 'The shop opens at 8:30.'],
  ['The shop opens at a quarter to nine.', 'The shop opens at 08:45.'],
  ['Lunch is at noon.', 'Lunch is at 12:00.'],
  ['See issue #1123.', 'See issue 1123.'],
  ['It runs v9 now.', 'It runs V9 now.'],
  ['Call +34 600 110 220.', 'Call +34-600-110-220.'],
  ['The fair is on 2026-03-05.', 'The fair is on 5 March 2026.'],
  ['The fair is on 2026-03-05.', 'The fair is on March 5th, 2026.'],
  ['The fair is on 05.03.2026.', 'The fair is on the fifth of March 2026.'],
  ['The fair is on 31/12/2026.', 'The fair is on Thursday, 31 December 2026.'],
  ['The fair is on 12/31/2026.', 'The fair is on Dec 31, 2026.'],
  ['The fair is in Sept 2026.', 'The fair is in September 2026.'],
  ['Bins go out on Fri.', 'Bins go out on Fridays.'],
  ["Ana doesn't eat meat.", 'Ana does not eat meat.'],
  ['Ana cant swim.', 'Ana cannot swim.'],
  ['“Ana” is here.', '"ana" IS HERE'],
  ['Mail ana@example.org about it.', 'mail ANA@EXAMPLE.ORG about it'],
  ['Ana, Ben and Cem agreed.', 'Cem, Ana and Ben agreed.'],
  ['For the Oslo trip Jonas booked seats.', 'Jonas booked seats for the Oslo trip.'],
];

/** Nearly the same text with another value. */
const apart: readonly (readonly [string, string, string])[] = [
  ['Order 1123 is late.', 'Order 1124 is late.', 'number'],
  ['The deposit is 100 dollars.', 'The deposit is 100 euros.', 'number'],
  ['It is 5 m away.', 'It is 5 min away.', 'number'],
  ['It weighs 1.500 kg.', 'It weighs 1500 kg.', 'number'],
  ['It weighs 1.500 kg.', 'It weighs 1.5 kg.', 'number'],
  ['Badge 0093 is lost.', 'Badge 93 is lost.', 'number'],
  ['Use version 4.2.', 'Use version 4.20.', 'number'],
  ['Use 1.2.3.', 'Use 1.2.4.', 'number'],
  ['Take 10² of them.', 'Take 102 of them.', 'number'],
  ['Lot A-4417 came.', 'Lot A-4471 came.', 'number'],
  ['Gate B12 is open.', 'Gate C12 is open.', 'number'],
  ['Standup is at 9:30.', 'Standup is at 9:30 pm.', 'number'],
  ['2 spoons of sugar and 3 of honey', '3 spoons of sugar and 2 of honey', 'number'],
  ['Moved it from 30 s to 90 s.', 'Moved it from 90 s to 30 s.', 'number'],
  ['The minimum is -5 °C.', 'The minimum is 5 °C.', 'number'],
  ['Tom scored once, Ida twice.', 'Tom scored once, Ida three times.', 'number'],
  ['The fair is on 3/5/2026.', 'The fair is on 5 March 2026.', 'date'],
  ['The fair is on 3/5/2026.', 'The fair is on 5/3/2026.', 'date'],
  ['The fair is on 5 March.', 'The fair is on 15 March.', 'date'],
  ['The rent for February is paid.', 'The rent for March is paid.', 'date'],
  ['The tax return for 2023 was filed.', 'The tax return for 2024 was filed.', 'date'],
  ['Swim class on Monday morning is full.', 'Swim class on Monday evening is full.', 'date'],
  ['Bins go out on Fridays.', 'Bins go out on Mondays.', 'date'],
  ['Ida came at Easter.', 'Ida came at Christmas.', 'date'],
  ['We met yesterday.', 'We met last week.', 'date'],
  ['The door is open.', 'The door is closed.', 'negation'],
  ['The roof is insured.', 'The roof is uninsured.', 'negation'],
  ['Ana eats meat.', 'Ana never eats meat.', 'negation'],
  ['Ana smokes.', 'Ana no longer smokes.', 'negation'],
  ['Ana works there.', 'Ana used to work there.', 'negation'],
  ['It is made with garlic.', 'It is made without garlic.', 'negation'],
  ['The statue is made of bronze, not of brass.', 'The statue is made of brass, not of bronze.', 'negation'],
  ['Either parent has to sign.', 'Neither parent has to sign.', 'negation'],
  ['Ana owes Ben 40 euros.', 'Ben owes Ana 40 euros.', 'name'],
  ['Daniel bought a ticket from Aisha.', 'Aisha bought a ticket from Daniel.', 'name'],
  ["Fatima is Youssef's contact.", "Youssef is Fatima's contact.", 'name'],
  ['Dr. Meyer is on holiday.', 'Dr. Maier is on holiday.', 'name'],
  ['Mrs. Nakamura sits there.', 'Mr. Nakamura sits there.', 'name'],
  ['Tariq is sick.', 'Talia is sick.', 'name'],
  ['Hugo senior takes sugar.', 'Hugo junior takes sugar.', 'name'],
  ['Send it to ana@example.org.', 'Send it to anna@example.org.', 'name'],
  ['Read https://a.example/x first.', 'Read https://a.example/y first.', 'name'],
  ['Edit src/main.ts.', 'Edit src/mail.ts.', 'name'],
  ['Ask @ana today.', 'Ask @ben today.', 'name'],
  ['We moved to Malmö.', 'We moved to Lund.', 'name'],
];

describe('values in other spellings', () => {
  it.each(alike)('%s = %s', (a, b) => {
    expect(compareTexts(a, b).differences).toEqual([]);
  });
});

describe('other values', () => {
  it.each(apart)('%s ≠ %s', (a, b, kind) => {
    expect(compareTexts(a, b).differences.map((difference) => difference.kind)).toContain(kind);
  });
});

describe('days seen from the speaker', () => {
  const monday = new Date('2026-03-02T09:00:00Z');
  const friday = new Date('2026-03-06T09:00:00Z');

  it('are the same only when they point at the same day', () => {
    expect(compareTexts('Tariq is sick today.', 'Tariq is sick today.', { a: monday, b: friday }).agree).toBe(false);
    expect(
      compareTexts('It rained yesterday.', 'It rained today.', { a: new Date('2026-03-03T09:00:00Z'), b: monday })
        .agree,
    ).toBe(true);
    expect(compareTexts('It rained yesterday.', 'It rained on 5 March 2026.', { a: friday }).agree).toBe(true);
    expect(compareTexts('We met three days ago.', 'We met on 2026-03-03.', { a: friday }).agree).toBe(true);
    expect(
      compareTexts('We met last week.', 'We met last week.', { a: monday, b: new Date('2026-03-09T00:00:00Z') }).agree,
    ).toBe(false);
  });

  it('equal only the same words where nobody knows when they were said', () => {
    expect(compareTexts('It rained yesterday.', 'It rained YESTERDAY').agree).toBe(true);
    expect(compareTexts('It rained yesterday.', 'It rained today.').agree).toBe(false);
  });
});
