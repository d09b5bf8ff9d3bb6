import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { DecideOptions, Decider, PairToJudge, Verdict } from '../../../src/consolidation/decider.ts';
import { createLlmDecider } from '../../../src/consolidation/llm/create-llm-decider.ts';
import { rememberVerdicts } from '../../../src/consolidation/remember-verdicts.ts';
import { createRulesDecider } from '../../../src/consolidation/rules/rules-decider.ts';
import { createBank } from '../../../src/store/banks.ts';
import { insertMemories } from '../../../src/store/memories.ts';
import { eraseVerdicts } from '../../../src/store/verdicts.ts';
import { newMemory } from '../../store/victim-bank.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { day } from './batches.ts';
import { createFakeChat, type FakeChat } from './fake-chat.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

let chat: FakeChat;
let decider: Decider;
let options: DecideOptions;
beforeEach(async () => {
  const { db } = database;
  const bankId = `bank-${uuid()}`;
  const subjectIds = [uuid(), uuid()];
  await db.tx({ label: 'test' }, async (tx) => {
    await createBank(tx, bankId);
    await insertMemories(
      tx,
      bankId,
      subjectIds.map((id) => newMemory(id, id)),
    );
  });
  options = { signal: new AbortController().signal, bankId, subjectIds, scope: ['ana'] };
  chat = createFakeChat();
  chat.answer = () => ({ verdict: 'contradicts', reason: 'tea is no coffee' });
  decider = remembering(chat);
});

const remembering = (model: FakeChat) =>
  rememberVerdicts(createLlmDecider({ consolidate: model, adjudicate: model }), { db: database.db });

const pair: PairToJudge = {
  held: { text: 'Ana drinks tea', validFrom: day('2026-03-01') },
  offered: { text: 'Ana drinks coffee', validFrom: null },
  similarity: 0.9,
};
const admissible: Verdict[] = ['different', 'contradicts'];
const contradicts = { verdict: 'contradicts', reason: 'tea is no coffee' };

it('an unchanged pair is judged once', async () => {
  expect(await decider.adjudicate(pair, admissible, options)).toEqual(contradicts);
  const again = { ...pair, similarity: 0.8 };
  expect(await decider.adjudicate(again, admissible.toReversed(), options)).toEqual(contradicts);
  expect(await remembering(chat).adjudicate(pair, admissible, options)).toEqual(contradicts);
  expect(chat.asked).toHaveLength(1);
});

it.each<[string, () => Promise<unknown>]>([
  ['another text', () => decider.adjudicate({ ...pair, held: { ...pair.held, text: 'x' } }, admissible, options)],
  ['another date', () => decider.adjudicate({ ...pair, held: { ...pair.held, validFrom: null } }, admissible, options)],
  ['other sides', () => decider.adjudicate({ ...pair, held: pair.offered, offered: pair.held }, admissible, options)],
  ['more to choose from', () => decider.adjudicate(pair, [...admissible, 'supersedes'], options)],
  ['another scope', () => decider.adjudicate(pair, admissible, { ...options, scope: [] })],
])('is judged anew: %s', async (_, adjudicate) => {
  await decider.adjudicate(pair, admissible, options);
  await adjudicate();
  expect(chat.asked).toHaveLength(2);
});

it('another model is asked itself', async () => {
  await decider.adjudicate(pair, admissible, options);
  const other = createFakeChat({ model: 'other' });
  other.answer = () => contradicts;
  await remembering(other).adjudicate(pair, admissible, options);
  expect(other.asked).toHaveLength(1);
});

it('another bank knows nothing of it', async () => {
  await decider.adjudicate(pair, admissible, options);
  await decider.adjudicate(pair, admissible, { ...options, bankId: 'elsewhere' });
  expect(chat.asked).toHaveLength(2);
});

it('is judged anew once what it was about is erased', async () => {
  await decider.adjudicate(pair, admissible, options);
  expect(await eraseVerdicts(database.db, options.bankId, options.subjectIds.slice(0, 1))).toBe(1);
  await decider.adjudicate(pair, admissible, options);
  expect(chat.asked).toHaveLength(2);
});

it('a failure is not remembered', async () => {
  chat.answer = () => new Error('gone');
  await expect(decider.adjudicate(pair, admissible, options)).rejects.toThrow('gone');
  chat.answer = () => contradicts;
  expect(await decider.adjudicate(pair, admissible, options)).toEqual(contradicts);
});

it('the same words are not worth a row', async () => {
  const same = { ...pair, offered: pair.held };
  expect((await decider.adjudicate(same, ['same', 'different'], options)).verdict).toBe('same');
  const { rows } = await database.db.query('select 1 from engram.verdicts where bank_id = $1', [options.bankId]);
  expect(rows).toEqual([]);
});

it('a decider without a model stays as it is', () => {
  const rules = createRulesDecider();
  expect(rememberVerdicts(rules, { db: database.db })).toBe(rules);
});

it('everything else is the decider it stands before', async () => {
  expect(decider).toMatchObject({ name: 'llm/1.1.1 fake', asksModel: true, readsSources: true });
  expect(decider.limits.memories).toBe(12);
  chat.retryAt = day('2026-03-05');
  expect(await decider.readyAt()).toEqual(day('2026-03-05'));
});
