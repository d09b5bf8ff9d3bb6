import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgePair } from '../../../src/consolidation/rules/judge-pair.ts';

const undated = (text: string) => ({ text, validFrom: null });

const rearranged: readonly (readonly [held: string, offered: string])[] = [
  ['On Tuesdays the caterer delivers to the back door.', 'The caterer delivers to the back door on Tuesdays.'],
  ['The caterer delivers on Tuesdays to the back door.', 'The caterer delivers to the back door on Tuesdays.'],
  ['Ana met Ben in Oslo in May.', 'Ana met Ben in May in Oslo.'],
  ['Switch off the lights at night.', 'Switch the lights off at night.'],
  ['Turn off the heater before leaving.', 'Before leaving, turn the heater off.'],
  ['Under the mat there is a spare key.', 'There is a spare key under the mat.'],
  ['A spare key is under the mat.', 'Under the mat is a spare key.'],
  ['When it rains the cellar floods.', 'The cellar floods when it rains.'],
  ['If the alarm rings, call Ivo.', 'Call Ivo if the alarm rings.'],
  [
    'The office has no parking. The entrance is at the back.',
    'The entrance is at the back. The office has no parking.',
  ],
  [
    'The office has no parking; the entrance is at the back.',
    'The entrance is at the back; the office has no parking.',
  ],
  ['Shopping list: milk, eggs, bread.', 'Shopping list: bread, milk, eggs.'],
  ['We need oat milk and brown sugar.', 'We need brown sugar and oat milk.'],
  ['The kit has a torch, a rope and two whistles.', 'The kit has two whistles, a torch and a rope.'],
  ['Ana, Ben and Cem are in the choir.', 'Cem, Ben and Ana are in the choir.'],
  ['In the choir are Ana, Ben and Cem.', 'Ana, Ben and Cem are in the choir.'],
  ['Next to the sink stands the dishwasher.', 'The dishwasher stands next to the sink.'],
  ['Sometimes the lift gets stuck.', 'The lift sometimes gets stuck.'],
  ['The lift gets stuck sometimes.', 'The lift sometimes gets stuck.'],
  ['Ana usually works from home on Fridays.', 'On Fridays Ana usually works from home.'],
  ['Every morning Ana swims 1 km.', 'Ana swims 1 km every morning.'],
  ['Twice a week the garden is watered.', 'The garden is watered twice a week.'],
  ['For security reasons the gate is locked at night.', 'The gate is locked at night for security reasons.'],
  ['According to Ida the roof leaks.', 'The roof leaks, according to Ida.'],
  ['To enter you need a badge.', 'You need a badge to enter.'],
  ['Without a badge nobody gets in.', 'Nobody gets in without a badge.'],
  ['At the end of the month the rent is due.', 'The rent is due at the end of the month.'],
  ['Our landlord is Mr. Quist.', 'Mr. Quist is our landlord.'],
  ['The capital of Peru is Lima.', 'Lima is the capital of Peru.'],
  ['Ida is the head of sales.', 'The head of sales is Ida.'],
  ['Ana likes both tea and coffee.', 'Ana likes both coffee and tea.'],
  ['In 2024 Chiara moved to Ghent.', 'Chiara moved to Ghent in 2024.'],
  ['Friday is the day of the audit.', 'The day of the audit is Friday.'],
  ['Always lock the shed.', 'Lock the shed always.'],
  ['After the game the team eats pizza.', 'The team eats pizza after the game.'],
  ['Only members may vote at the meeting in May.', 'At the meeting in May only members may vote.'],
  ['With her sister Ana runs a bakery.', 'Ana runs a bakery with her sister.'],
  ['Ana runs, together with her sister, a bakery.', 'Ana runs a bakery together with her sister.'],
  ['PDF and CSV are the export formats.', 'The export formats are CSV and PDF.'],
  ['Deploys happen automatically after each merge.', 'After each merge deploys happen automatically.'],
  ['The key is kept safely in the office.', 'The key is safely kept in the office.'],
];

/** The same words, and not the same thing said. */
const exchanged: readonly (readonly [held: string, offered: string])[] = [
  ['The man with the dog saw the cat.', 'The man saw the cat with the dog.'],
  ['Ana owes Ben 5 euros.', 'Ben owes Ana 5 euros.'],
  ['Billing depends on the ledger.', 'The ledger depends on billing.'],
  ['The cat chased the dog.', 'The dog chased the cat.'],
  ['Ana is taller than Ben.', 'Ben is taller than Ana.'],
  ['Ana gave Ben the key of Cem.', 'Ana gave Cem the key of Ben.'],
  ['Only Ana eats fish.', 'Ana eats only fish.'],
  ['Ana told Ben that Cem lied.', 'Cem told Ana that Ben lied.'],
  ['The train from Oslo to Bergen is full.', 'The train from Bergen to Oslo is full.'],
  ['The wife of the brother of Ana is here.', 'The brother of the wife of Ana is here.'],
  ['Copy the file from A to B before lunch.', 'Copy the file from B to A before lunch.'],
  ['Server A backs up server B.', 'Server B backs up server A.'],
  ['The parser calls the lexer.', 'The lexer calls the parser.'],
  ['Before the audit, the review is done.', 'Before the review, the audit is done.'],
  ['Lock the door before you leave the key.', 'Leave the door before you lock the key.'],
  ['If Ana comes, Ben leaves.', 'If Ben leaves, Ana comes.'],
  ['All editors are members.', 'All members are editors.'],
  ['Not all members vote.', 'All members do not vote.'],
  ['Ana hired Ben after Cem left.', 'Cem hired Ben after Ana left.'],
  ['Tea before coffee, never coffee before tea.', 'Coffee before tea, never tea before coffee.'],
  ['The manager of Ana is the friend of Ben.', 'The friend of Ana is the manager of Ben.'],
  ['Rent is due on the first, wages on the last.', 'Wages are due on the first, rent on the last.'],
  ['Milk goes in the fridge and bread in the box.', 'Bread goes in the fridge and milk in the box.'],
  ['Ana likes Ben and Cem likes Dora.', 'Dora likes Ben and Cem likes Ana.'],
  ['Room 3 is for 12 people.', 'Room 12 is for 3 people.'],
];

/** The second says all of the first and more. */
const fuller: readonly (readonly [held: string, offered: string])[] = [
  ['Marta works at the aquarium.', 'Marta works part-time at the aquarium.'],
  ['Marta works at the aquarium.', 'Marta works at the aquarium as a vet on Mondays.'],
  ['The roof leaks.', 'According to Ida the roof leaks.'],
  ['The roof leaks.', 'The roof leaks above the kitchen.'],
  ['The roof leaks.', 'The roof leaks whenever it storms.'],
  ['Ben drives a van.', 'Ben drives a blue van.'],
  ['Ben drives a van.', 'Ben drives a blue electric van with a roof rack.'],
  ['Ana meets Ben on Fridays.', 'Ana meets Ben for lunch on Fridays.'],
  ['The museum has a café.', 'The museum has a café, open until 18:00.'],
  ['The museum has a café.', 'The museum has a small café and a shop.'],
  ['The museum has a café.', 'The museum, built in 1902, has a café.'],
  ['Ida is in charge of sales.', 'Ida is in charge of sales and marketing.'],
  ['The bus stops at the school.', 'The bus stops at the school and at the clinic.'],
  ['Deploys are frozen.', 'Deploys are frozen until Monday.'],
  ['Deploys are frozen.', 'Deploys are frozen; only hotfixes go out.'],
  ['Deploys are frozen.', 'Deploys are frozen. Only hotfixes go out.'],
  ['Deploys are frozen.', 'Deploys are frozen - ask Ida for exceptions.'],
  ['Tobias has a daughter.', 'Tobias has a daughter named Fenna.'],
  ['Tobias has a daughter.', 'Tobias has a six-year-old daughter.'],
  ['The meeting is on 5 March.', 'The meeting is on 5 March 2026 at 10:00.'],
  ['The meeting is at 10:00.', 'The meeting is at 10:00 in room 4.'],
  ['The van is in the garage.', 'The van is in the garage with a flat tyre.'],
  ['Ana is allergic to nuts.', 'Ana is allergic to nuts and carries an EpiPen.'],
  ['Ana is allergic to nuts.', 'Ana is severely allergic to nuts.'],
  ['Yusuf is vegan.', 'Yusuf is vegan since January.'],
  ['The server has 16 GB of memory.', 'The server has 16 GB of memory and 4 cores.'],
  ['Call Ivo.', 'Call Ivo before noon.'],
];

/** The second has all words of the first and says something else. */
const notFuller: readonly (readonly [held: string, offered: string])[] = [
  ['Guests may bring dogs.', 'Guests may bring dogs, but not dogs over 20 kg.'],
  ['Hugo takes sugar in his tea.', 'Hugo junior takes sugar in his tea.'],
  ['My mother plays the cello.', "Ivo's mother plays the cello."],
  ['The app works.', 'The app works no longer.'],
  ['The app does not work.', 'The app does not work on Windows.'],
  ['All servers are patched.', 'All servers are patched in Berlin.'],
  ['The race is cancelled.', 'If it rains, the race is cancelled.'],
  ['The race is cancelled.', 'The race is cancelled if it rains.'],
  ['Ana likes cats.', 'Ana likes black cats.'],
  ['Nobody eats fish.', 'Nobody eats fish on Fridays.'],
  ['Ana visited Rome.', "Ana's sister visited Rome."],
  ['The key is lost.', 'The key of the shed is lost.'],
  ['The app crashes.', 'The app almost never crashes.'],
  ['The shop closes at four.', 'The shop usually closes at four.'],
  ['Ben has a car.', 'Ben has a car loan.'],
  ['Marta works at the aquarium.', 'Marta works at the aquarium shop.'],
  ['Ana is a nurse.', 'Ana is a nurse trainee.'],
  ['The red door is locked.', 'The red door handle is locked.'],
];

describe('the same words in another order', () => {
  it.each(rearranged)('reinforce where the order says nothing: %s = %s', (held, offered) => {
    expect(judgePair(undated(held), undated(offered), 0.9).label).toBe('reinforce');
    expect(judgePair(undated(offered), undated(held), 0.9).label).toBe('reinforce');
  });

  it.each(exchanged)('are two facts where it does: %s ≠ %s', (held, offered) => {
    expect(['reinforce', 'revise']).not.toContain(judgePair(undated(held), undated(offered), 0.99).label);
  });
});

describe('a fuller text', () => {
  it.each(fuller)('revises the shorter, and is reinforced by it: %s ⊂ %s', (held, offered) => {
    expect(judgePair(undated(held), undated(offered), 0.9).label).toBe('revise');
    expect(judgePair(undated(offered), undated(held), 0.9).label).toBe('reinforce');
  });

  it.each(notFuller)('is none where the addition changes what is said: %s ⊄ %s', (held, offered) => {
    expect(['reinforce', 'revise']).not.toContain(judgePair(undated(held), undated(offered), 0.99).label);
    expect(['reinforce', 'revise']).not.toContain(judgePair(undated(offered), undated(held), 0.99).label);
  });

  it('is none where each tells of an event of its own time', () => {
    const held = { text: 'Mel went camping.', validFrom: new Date('2026-05-02T00:00:00Z') };
    const offered = { text: 'Mel went camping with her cousins.', validFrom: new Date('2026-06-20T00:00:00Z') };
    expect(judgePair(held, offered, 0.9).label).toBe('keep-both');
    expect(judgePair(held, { ...offered, validFrom: new Date('2026-05-03T00:00:00Z') }, 0.9).label).toBe('revise');
  });
});

describe('any text', () => {
  it('reinforces itself', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        (text) => judgePair(undated(text), undated(text), 1).label === 'reinforce',
      ),
    );
  });

  it('is judged without an error beside any other', () => {
    const words = fc.constantFrom(
      ...'Ana Ben not no is are the a of and or 5 1123 March Friday euros , . : ; ( ) from to lives likes moved now "x" #7 constructor'.split(
        ' ',
      ),
    );
    const sentence = fc.array(words, { maxLength: 40 }).map((list) => list.join(' '));
    fc.assert(
      fc.property(sentence, sentence, (a, b) => {
        expect(judgePair(undated(a), undated(b), 0.5).label).toBeTypeOf('string');
      }),
      { numRuns: 500 },
    );
  });

  it('is judged in bounded time, however long', () => {
    const page = 'Ana paid Ben 40 euros on 5 March 2026 and not 50. '.repeat(320);
    expect(judgePair(undated(page), undated(page), 1).label).toBe('reinforce');
    expect(judgePair(undated(page), undated(`${page} Ana left.`), 1).label).toBe('keep-both');
  });
});
