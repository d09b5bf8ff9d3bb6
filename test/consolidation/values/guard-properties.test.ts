import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareTexts, missingFrom } from '../../../src/consolidation/values/compare-values.ts';
import { extractValues } from '../../../src/consolidation/values/extract-values.ts';

const names = ['Ana', 'Ben', 'Cem', 'Dora', 'Emil', 'Farah', 'Goran', 'Hanna', 'Ilse', 'Jonas'] as const;
const months = ['January', 'February', 'April', 'May', 'June', 'July', 'August', 'October', 'December'] as const;
const things = ['crates', 'tickets', 'chairs', 'kg of flour', 'euros', 'minutes', 'km of cable'] as const;

const day = fc.record({
  month: fc.constantFrom(...months),
  day: fc.integer({ min: 1, max: 28 }),
  year: fc.integer({ min: 1990, max: 2035 }),
});

const fact = fc.record({
  who: fc.constantFrom(...names),
  whom: fc.constantFrom(...names),
  amount: fc.integer({ min: 0, max: 5_000_000 }),
  thing: fc.constantFrom(...things),
  when: day,
  denied: fc.boolean(),
});
type Fact = typeof fact extends fc.Arbitrary<infer T> ? T : never;

function say({ who, whom, amount, thing, when, denied }: Fact): string {
  const verb = denied ? 'did not owe' : 'owed';
  return `On ${when.day} ${when.month} ${when.year} ${who} ${verb} ${whom} ${amount} ${thing}.`;
}

function sayOtherwise({ who, whom, amount, thing, when, denied }: Fact): string {
  const month = String(new Date(`1 ${when.month} 2000 UTC`).getUTCMonth() + 1).padStart(2, '0');
  const verb = denied ? "didn't owe" : 'owed';
  const grouped = amount.toLocaleString('en-US');
  return `${who} ${verb} ${whom}  ${grouped} ${thing} on ${when.year}-${month}-${String(when.day).padStart(2, '0')}`;
}

describe('the value guard', () => {
  it('agrees with itself in any case and punctuation', () => {
    fc.assert(
      fc.property(fact, fc.constantFrom('upper', 'lower', 'bare'), (one, how) => {
        const text = say(one);
        const typed = { upper: text.toUpperCase(), lower: text.toLowerCase(), bare: text.replace(/\.$/u, '!!') }[how];
        return compareTexts(text, typed).agree;
      }),
    );
  });

  it('agrees with other spellings in another order', () => {
    fc.assert(fc.property(fact, (one) => compareTexts(say(one), sayOtherwise(one)).agree));
  });

  it('is symmetric', () => {
    fc.assert(
      fc.property(fact, fact, (one, other) => {
        expect(compareTexts(say(one), say(other)).agree).toBe(compareTexts(say(other), say(one)).agree);
      }),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        (a, b) => compareTexts(a, b).agree === compareTexts(b, a).agree,
      ),
    );
  });

  it('agrees with itself whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => compareTexts(text, text).agree));
  });

  it('sees one changed number, day, month, year, name or denial', () => {
    const changes: readonly ((fact: Fact) => Fact)[] = [
      (one) => ({ ...one, amount: one.amount + 1 }),
      (one) => ({ ...one, amount: one.amount === 0 ? 10 : one.amount * 10 }),
      (one) => ({ ...one, when: { ...one.when, day: (one.when.day % 28) + 1 } }),
      (one) => ({ ...one, when: { ...one.when, month: one.when.month === 'May' ? 'June' : 'May' } }),
      (one) => ({ ...one, when: { ...one.when, year: one.when.year + 1 } }),
      (one) => ({ ...one, whom: one.whom === 'Ben' ? 'Dora' : 'Ben' }),
      (one) => ({ ...one, denied: !one.denied }),
    ];
    fc.assert(
      fc.property(fact, fc.constantFrom(...changes), (one, change) => {
        const other = change(one);
        return !compareTexts(say(one), say(other)).agree && !compareTexts(say(one), sayOtherwise(other)).agree;
      }),
    );
  });

  it('sees two people change places', () => {
    const pair = fact.filter((one) => one.who !== one.whom);
    fc.assert(fc.property(pair, (one) => !compareTexts(say(one), say({ ...one, who: one.whom, whom: one.who })).agree));
  });

  it('lets the text that says less be covered by the one that says more, never the other way', () => {
    fc.assert(
      fc.property(fact, (one) => {
        const fuller = extractValues(say(one));
        const lesser = extractValues(`${one.who} ${one.denied ? 'did not owe' : 'owed'} ${one.whom} something.`);
        expect(missingFrom(fuller, lesser)).toEqual([]);
        expect(missingFrom(lesser, fuller).map(({ kind }) => kind)).toEqual(expect.arrayContaining(['number', 'date']));
      }),
    );
  });

  it('reads the names of what every object has as words', () => {
    for (const word of ['constructor', '__proto__', 'toString', 'valueOf', 'hasOwnProperty']) {
      expect(
        compareTexts(`The ${word} is not ${word}-${word}.`, `the ${word} IS not ${word}-${word}`).agree,
        word,
      ).toBe(true);
      expect(compareTexts(`${word} 1`, `${word} 2`).agree, word).toBe(false);
    }
  });

  it('reads 16 KB in one go', () => {
    const long = 'Ana paid Ben 40 euros on 5 March 2026, not 50. '.repeat(340);
    expect(compareTexts(long, long).agree).toBe(true);
  });
});
