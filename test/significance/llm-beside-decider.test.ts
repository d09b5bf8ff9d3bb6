import { expect, test } from 'vitest';
import { presentModelStatus } from '../../src/api/model-status.ts';
import type { PairToJudge } from '../../src/consolidation/decider.ts';
import { createLlmDecider } from '../../src/consolidation/llm/create-llm-decider.ts';
import { ModelContentError, ModelUnavailableError } from '../../src/models/provider-errors.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { createLlmScorer } from '../../src/significance/llm/llm-scorer.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { answer } from '../support/scripted-model/reply.ts';
import { answerHonestly, purposeOf, type ScriptedPurpose } from '../support/scripted-model/understand.ts';
import { createLlmBench } from './llm-bench.ts';
import { chatModelOf } from './llm-scorer-of.ts';

const { bench, model } = await createLlmBench();

const clock = { ...systemClock, now: () => new Date(2026, 2, 1, 12) };

/** As a daemon has them: one model for both. */
async function bothOf() {
  const chat = await chatModelOf({ db: bench.db, baseUrl: model.baseUrl, clock });
  const { log } = bench.deps;
  return {
    chat,
    decider: createLlmDecider({ consolidate: chat, adjudicate: chat }),
    engine: createSignificanceEngine({ ...bench.deps, scorer: createLlmScorer(chat, { clock, log }) }),
  };
}
type Both = Awaited<ReturnType<typeof bothOf>>;

/** Prose for one purpose, and as it should be for the others. */
function badAt(purpose: ScriptedPurpose): void {
  model.onChat = (request) =>
    purposeOf(request) === purpose ? answer('Sure, happy to help!') : answerHonestly(request);
}

let pairs = 0;
function judge({ decider }: Both) {
  pairs += 1;
  const pair: PairToJudge = {
    held: { text: `Ana drinks tea ${pairs}`, validFrom: null },
    offered: { text: `Ana takes tea ${pairs}`, validFrom: null },
    similarity: 0.9,
  };
  const { signal } = new AbortController();
  return decider.adjudicate(pair, ['same', 'different'], {
    signal,
    bankId: bench.bankId,
    subjectIds: [`pair ${pairs}`],
  });
}

const attempts = async () => (await bench.memories()).map((memory) => memory.attempts);
const sentFor = (purpose: ScriptedPurpose) => model.requests.filter((one) => purposeOf(one) === purpose).length;

test('a model that gives prose for scores is left alone with scores, and goes on deciding', async () => {
  await bench.remember('It rained.', 'It snowed.', 'It was warm.', 'It was cold.');
  badAt('significance');
  const both = await bothOf();
  expect(await judge(both)).toMatchObject({ verdict: 'different' });
  await expect(bench.score(both.engine)).rejects.toThrow(ModelUnavailableError);
  expect(await attempts()).toEqual([0, 0, 0, 0]);
  expect(await judge(both)).toMatchObject({ verdict: 'different' });
  expect(await both.decider.readyAt()).toBeNull();
  expect(await both.engine.readyAt()).toBeInstanceOf(Date);

  // Known to whoever starts next as well, and to people: it is not the budget that scores wait for.
  const next = await bothOf();
  expect(await next.engine.readyAt()).toBeInstanceOf(Date);
  const sent = sentFor('significance');
  await expect(bench.score(next.engine)).rejects.toThrow('ENGRAMD_LLM_MODEL_SIGNIFICANCE');
  expect(sentFor('significance')).toBe(sent);
  expect(await statusOf(both)).toMatchObject({
    waits_until: null,
    scores_wait_until: expect.any(String),
    models: [
      { model: 'scripted', state: 'ready' },
      { model: 'scripted for scores', state: 'out_of_order', problem: expect.stringContaining('nothing usable') },
    ],
  });

  // Looked at again later, and in order with the first score.
  model.reset();
  await bench.db.query(`update engram.model_breakers set reopens_at = opened_at`);
  const later = await bothOf();
  await later.engine.readyAt();
  await bench.wakeAll();
  await bench.scoreAll(later.engine);
  expect((await bench.memories()).every(({ isScored }) => isScored)).toBe(true);
  expect(await bench.rows('select from engram.model_breakers')).toEqual([]);
});

test('the other way round: good scores neither blame a memory for bad decisions nor end the rest that these came to', async () => {
  badAt('adjudicate');
  const both = await bothOf();
  const blamed: string[] = [];
  for (let n = 0; n < 3; n += 1) {
    const thrown = await judge(both).catch((error) => error);
    expect(thrown).toBeInstanceOf(ModelContentError);
    // The score comes between the request and the question who is to blame.
    await bench.remember(`It rained ${n} times.`);
    await bench.score(both.engine);
    blamed.push(await both.decider.blames(thrown, `pair ${n}`));
  }
  expect(blamed).toEqual(['model', 'model', 'model']);
  expect(await bench.rows('select model, error_class from engram.model_breakers')).toEqual([
    { model: 'scripted', error_class: 'model_unfit' },
  ]);

  await bench.db.query(`update engram.model_breakers set reopens_at = opened_at`);
  const next = await bothOf();
  await next.decider.readyAt();
  await bench.remember('It was warm.');
  await bench.score(next.engine);
  expect((await bench.memories()).every(({ isScored }) => isScored)).toBe(true);
  expect(await bench.rows('select error_class from engram.model_breakers')).toEqual([{ error_class: 'model_unfit' }]);
  model.reset();
  expect(await judge(next)).toMatchObject({ verdict: 'different' });
  expect(await bench.rows('select from engram.model_breakers')).toEqual([]);
});

function statusOf({ chat, decider, engine }: Both) {
  const { endpoint, model: name } = chat;
  return presentModelStatus({
    db: bench.db,
    clock,
    settings: {
      chatModels: [{ endpoint, model: name }],
      budgetLimits: { nanoUsd: 1_000_000_000, tokens: null, unpricedTokens: 2_000_000 },
    },
    embedder: { model: { id: 'local' } },
    decider,
    significance: engine,
  } as unknown as Parameters<typeof presentModelStatus>[0]);
}
