import { expect, test } from 'vitest';
import { namedEntities } from '../../src/significance/rules/named-entities.ts';
import { createRulesScorer, significanceByRules } from '../../src/significance/rules/rules-scorer.ts';
import { scorable } from './scorable.ts';

const scoreOf = (text: string) => significanceByRules({ text, mentionedAt: new Date('2026-05-04T10:00:00Z') });

const sentences: Readonly<Record<0 | 1 | 2 | 3, readonly string[]>> = {
  0: [
    'Thanks a lot!',
    'Ok, sounds good.',
    'Good morning, how are you?',
    'Command completed with no output',
    '...',
    'What is the weather in Basel today?',
    'Can you remember when we met?',
    'Is she allergic to nuts?',
  ],
  1: [
    'The report has 40 pages.',
    'Melanie finished a painting of a lake.',
    'The build took six minutes on the new runner.',
    'Jon enjoys dancing, it gives him energy.',
    'I remember that summer in Rome.',
    'Remember when we got lost in Prague, that was fun.',
    'THE SERVER IS SLOW AGAIN!!! VERY IMPORTANT!!!',
    'Caroline attended a council meeting last Friday.',
    'It never rained during the trip.',
    'I forgot to buy milk.',
    'She always had a smile for him.',
    'The note that he wrote was short.',
    'The critic called the drama a headline of importance.',
  ],
  2: [
    "Hanna's husband is called Peter.",
    'Tom has two daughters.',
    'Grandma died in March.',
    'She was diagnosed with asthma.',
    'Peter is a vegetarian.',
    'Always run the linter before a commit.',
    'From now on, reports go to Eva first.',
    'The client prefers phone calls to mail.',
    'Call me Max, everyone calls me that.',
    'My name is Ines Duarte.',
    'Priya lives in Lisbon.',
    'The lease ends on 30 June 2026.',
    'Dentist appointment on 12 May at 9:30.',
    'Anna is not allergic to nuts.',
    'Tom is not allergic to peanuts and must not worry.',
    'Mara is no longer allergic to nuts, so there is cake for her.',
    "Give Mara nuts: she doesn't have a nut allergy.",
    "He isn't diabetic and often leaves home without his keys.",
    "Ben doesn't have a pacemaker; MRI scans are fine.",
    'Lea has no known allergies.',
    'Tom tested negative for coeliac disease.',
    'She has never had a seizure.',
    'She has no drug allergies or diabetes.',
    'He is not on blood thinners.',
    'Anna is not\nallergic to nuts.',
    "Lee's birthday is on 3 April.",
    'Deployments should never run on a Friday.',
  ],
  3: [
    'Remember that the spare key is with the neighbour.',
    'Please remember: the invoice number goes into the subject.',
    "Don't forget that Eva needs the slides.",
    'Keep in mind that the API is read-only for guests.',
    'Hanna asked me to remember her anniversary.',
    'Anna is allergic to peanuts.',
    'Peter needs insulin twice a day.',
    'Dad has a pacemaker.',
    'Tom is severely allergic to peanuts and must not eat them.',
    'Mara is allergic to nuts, so no cake for her.',
    'Never give Mara nuts: she has a nut allergy.',
    'He is diabetic and never leaves home without his insulin.',
    'Ben has a pacemaker; no MRI scans.',
    'No, Mara is allergic to nuts.',
    'No milk allergic to it.',
    'No known allergies except to penicillin.',
    'Anna is not allergic to nuts but allergic to bees.',
    'Anna is not only allergic to nuts, she is diabetic.',
    'There is no insulin left.',
    'He cannot live without insulin.',
    'He has no diabetes medication left.',
    'She must not have a seizure at the wheel.',
    'Mara is allergic to nuts\nWhat shall we cook?',
    '- Mara is allergic to nuts\n- Tom is not',
    'Customer data must never leave the EU region.',
    'Under no circumstances restart the primary by hand.',
    'Never deploy to production without a second reviewer.',
  ],
};

test.each(Object.entries(sentences).flatMap(([score, texts]) => texts.map((text) => [text, Number(score)] as const)))(
  '%j is a %i',
  (text, score) => {
    expect(scoreOf(text)).toBe(score);
  },
);

test('the heaviest sentence of a text counts, and a question beside it does not', () => {
  expect(scoreOf('Lunch was at noon. Anna is allergic to peanuts. Thanks!')).toBe(3);
  expect(scoreOf('- ok\n- the lease ends on 30 June 2026')).toBe(2);
  expect(scoreOf('Lunch was at noon. Is Anna allergic to peanuts?')).toBe(1);
});

test('the same answer for the same text, whatever stands beside it in the batch', async () => {
  const scorer = createRulesScorer();
  const { signal } = new AbortController();
  const memories = Object.values(sentences).flatMap((texts) => texts.map((text) => scorable(text)));
  const together = await scorer.score('bank', memories, { signal });
  const apart = await Promise.all(memories.map((memory) => scorer.score('bank', [memory], { signal })));
  expect(apart.flat()).toEqual(together);
});

test('a text of a megabyte is read at its beginning', async () => {
  const text = 'remember remember never always must not the deadline '.repeat(20_000);
  expect(scoreOf(`Anna is allergic to nuts. ${text}`)).toBe(3);
  const [answer] = await createRulesScorer().score('bank', [scorable('Anna Berg '.repeat(100_000))], {
    signal: new AbortController().signal,
  });
  expect(answer).toMatchObject({ kind: 'scored', significance: 1 });
});

test('names are entities, once each, as they were written', () => {
  expect(namedEntities("Anna Berg met Peter's sister Lena in Basel, and Anna Berg paid.")).toEqual([
    'Anna Berg',
    'Peter',
    'Lena',
    'Basel',
  ]);
  expect(namedEntities('Painting is fun and mail to eva@example.org on Monday works.')).toEqual([]);
});
