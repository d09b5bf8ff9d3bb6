import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ModelUnavailableError } from '../../src/models/provider-errors.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { createRulesScorer } from '../../src/significance/rules/rules-scorer.ts';
import { answer, apiError } from '../support/scripted-model/reply.ts';
import { answerHonestly, honestScore, scoresOf, turnsOf } from '../support/scripted-model/understand.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { llmScorerOf } from './llm-scorer-of.ts';
import { createSignificanceBench, type SignificanceBench } from './significance-bench.ts';

/* The whole flow over a bank as an agent fills it in a week. */

let bench: SignificanceBench;
let model: ScriptedModel;
beforeAll(async () => {
  [bench, model] = await Promise.all([createSignificanceBench({ pinCap: 8 }), createScriptedModel()]);
});
afterAll(async () => {
  await bench.close();
  await model.close();
});
beforeEach(async () => {
  model.reset();
  await bench.freshBank();
  await bench.db.query('truncate engram.model_breakers');
});

const people = ['Anna', 'Peter', 'Priya', 'Tom', 'Lena', 'Max', 'Ines', 'Omar', 'Mia', 'Jon'];
const cities = ['Basel', 'Lisbon', 'Oslo', 'Graz', 'Lyon'];

/** 150 memories: 5 that must not be forgotten, 30 that matter, 100 plain facts, 15 of small talk. */
const sample = [
  ...people.slice(0, 3).map((name) => `${name} is allergic to peanuts.`),
  'Remember that the spare key is with the neighbour.',
  'Never deploy to production without a second reviewer.',
  ...people.map((name, index) => `${name} lives in ${cities[index % 5]}.`),
  ...people.map((name, index) => `${name}'s birthday is on ${index + 3} May.`),
  ...people.map((name) => `${name} always books the window seat.`),
  ...Array.from({ length: 100 }, (_, index) => `Ticket ${1000 + index} was looked at by ${people[index % 10]}.`),
  ...Array.from({ length: 15 }, () => 'Thanks!'),
];

async function distribution(): Promise<Record<string, number>> {
  const memories = await bench.memories();
  expect(memories.every(({ isScored, significance }) => isScored && significance !== null)).toBe(true);
  return Object.fromEntries(
    [0, 1, 2, 3].map((score) => [score, memories.filter(({ significance }) => significance === score).length]),
  );
}

test('by rules: every memory once, few that must not be forgotten, the cap kept', async () => {
  await bench.remember(...sample);
  await bench.scoreAll(createSignificanceEngine({ ...bench.deps, scorer: createRulesScorer() }));
  expect(await distribution()).toEqual({ 0: 15, 1: 100, 2: 30, 3: 5 });
  expect(await bench.pins('auto')).toHaveLength(5);
  const scores = (await bench.events()).filter(({ kind }) => kind === 'memory.scored');
  expect(scores).toHaveLength(150);
  expect(scores[5]?.detail).toEqual({ score: 2, by: 'rules/1', entities: ['Anna', 'Basel'] });
});

test('by a model that is overloaded, slips, is cut off and says 7: every memory in the end, none twice, the cap kept', async () => {
  await bench.remember(...sample);
  let calls = 0;
  model.onChat = (request) => {
    calls += 1;
    const scores = scoresOf(request).memories.map(honestScore);
    const text = JSON.stringify({ scores });
    switch (turnsOf(request) > 2 ? 0 : calls % 6) {
      case 1:
        return apiError(429, { code: 'rate_limit_exceeded' }, { 'retry-after': '600' });
      case 2:
        return answer('Of course! Here are your scores:');
      case 3:
        return answer(text.slice(0, text.length / 2), { finishReason: 'length' });
      case 4:
        return answer({ scores: scores.map((one, index) => (index === 0 ? { ...one, significance: 7 } : one)) });
      default:
        return answerHonestly(request);
    }
  };
  const engineOf = async () =>
    createSignificanceEngine({
      ...bench.deps,
      scorer: await llmScorerOf({ db: bench.db, baseUrl: model.baseUrl }),
    });
  let engine = await engineOf();
  for (let round = 0; round < 100; round += 1) {
    const report = await bench.score(engine).catch(async (thrown) => {
      expect(thrown).toBeInstanceOf(ModelUnavailableError);
      // Its time has come, and the daemon was started again.
      await bench.db.query('truncate engram.model_breakers');
      engine = await engineOf();
      return { scored: 0, remaining: 1 };
    });
    if (report.remaining > 0) continue;
    await bench.wakeAll();
    if ((await bench.memories()).every(({ isScored }) => isScored)) break;
  }
  expect(await distribution()).toEqual({ 0: 15, 1: 100, 2: 31, 3: 4 });
  expect(await bench.pins('auto')).toHaveLength(4);
  const scores = (await bench.events()).filter(({ kind }) => kind === 'memory.scored');
  expect(scores).toHaveLength(150);
  expect(new Set(scores.map(({ memory }) => memory)).size).toBe(150);
});
