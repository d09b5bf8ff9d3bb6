import { afterEach, expect, test } from 'vitest';
import { createDaemonsRig, type DaemonsRig } from '../support/daemons-rig.ts';
import { answer, type ScriptedRequest } from '../support/scripted-model/reply.ts';
import { answerHonestly, purposeOf, batchOf as shownBatch } from '../support/scripted-model/understand.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

const hours = (count: number) => new Date(rig.clock.now().getTime() + count * 3_600_000);
const holds = (word: string) => (request: ScriptedRequest) => JSON.stringify(request.body).includes(word);
const isPoisoned = holds('POISON');
const refusal = answer(null, { refusal: 'I cannot' });

async function breakers(): Promise<string[]> {
  const { rows } = await rig.db.query<{ error_class: string }>('select error_class from engram.model_breakers');
  return rows.map(({ error_class }) => error_class);
}

/** As if its rest were over. */
async function wakeAll(): Promise<void> {
  await rig.db.query(`update engram.memories set next_attempt_at = now() where state = 'pending'`);
}

async function poison(): Promise<{ attempts: number; state: string }[]> {
  const { rows } = await rig.db.query<{ attempts: number; state: string }>(
    `select attempts, state from engram.memories where text like '%POISON%'`,
  );
  return rows;
}

test.each([1, 6])(
  'a memory that the model refuses is parked, its neighbours are not (%i at once)',
  async (concurrency) => {
    rig = await createDaemonsRig({ engine: { concurrency } });
    await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
    rig.model.onChat = (request) => (isPoisoned(request) ? refusal : answerHonestly(request));
    for (let round = 0; round < 12; round += 1) {
      await rig.remember('bank-1', 2);
      await rig.work(hours(2));
      await wakeAll();
    }
    expect(await poison()).toEqual([{ attempts: 5, state: 'parked' }]);
    expect(await rig.states()).toMatchObject({ parked: 1, consolidated: 24, 'with an attempt': 1 });
    // Each round that it is in costs the batch, its halves and itself; with the uncounted first, six or so of them.
    expect(rig.model.requests.filter(isPoisoned).length).toBeLessThanOrEqual(20);
    expect(await breakers()).toEqual([]);
  },
  60_000,
);

test('a memory alone that the model refuses makes no model unfit, and is asked about once an hour', async () => {
  rig = await createDaemonsRig();
  await rig.rememberTexts('bank-1', ['The POISON word stands here.']);
  rig.model.onChat = (request) => (isPoisoned(request) ? refusal : answerHonestly(request));
  for (let round = 0; round < 6; round += 1) {
    await rig.work(hours(1));
    expect(await breakers()).toEqual([]);
    const { rows } = await rig.db.query<{ minutes: number }>(
      `select extract(epoch from next_attempt_at - now())::float8 / 60 as minutes from engram.memories`,
    );
    expect(rows[0]?.minutes).toBeGreaterThan(29);
    await wakeAll();
  }
  expect(await poison()).toEqual([{ attempts: 0, state: 'pending' }]);
  expect(rig.model.count.chat).toBe(6);
}, 60_000);

test('three memories with nothing of use between them make it the model, and none is counted', async () => {
  rig = await createDaemonsRig();
  await rig.remember('bank-1', 12);
  rig.model.onChat = () => refusal;
  await rig.work(hours(0.1));
  expect(await breakers()).toEqual(['model_unfit']);
  await rig.work(hours(1));
  expect(await rig.states()).toEqual({ pending: 12 });

  rig.model.onChat = answerHonestly;
  await rig.work(hours(2));
  await wakeAll();
  await rig.work(hours(2));
  expect(await rig.states()).toEqual({ consolidated: 12 });
}, 60_000);

test('a pair that is refused is two different things, and its batch goes on', async () => {
  rig = await createDaemonsRig({ engine: { batchMemories: 12 } });
  const words = Array.from({ length: 40 }, (_, n) => `word${'abcdefghijklm'[n % 13]}${'abcdefg'[n % 7]}`).join(' ');
  await rig.rememberTexts('bank-1', [`${words} poison`, 'Carmen likes tea.', 'The kiln is blue.']);
  rig.model.onChat = (request) => {
    if (purposeOf(request) === 'adjudicate') return refusal;
    if (purposeOf(request) !== 'consolidate') return answerHonestly(request);
    const create = (as: string, text: string, id: string) => ({
      ...{ op: 'create', target: null, into: null, as, text, memories: [id], valid_from: null, reason: 'said' },
    });
    const ops = shownBatch(request).memories.flatMap(({ id, text }, at) => [
      create(`n${at}`, text, id),
      ...(text.includes('poison') ? [create(`k${at}`, text.replace(' poison', ''), id)] : []),
    ]);
    return answer({ ops });
  };
  await rig.work(hours(1));
  expect(await rig.states()).toEqual({ consolidated: 3 });
  const purposes = rig.model.requests.map(purposeOf);
  expect(purposes.filter((purpose) => purpose === 'consolidate')).toHaveLength(1);
  expect(purposes).toContain('adjudicate');
  // A refusal is no verdict: it is not kept as one.
  expect((await rig.db.query('select from engram.verdicts')).rows).toEqual([]);
}, 60_000);
