import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ModelUnavailableError } from '../../src/models/provider-errors.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import type { ScoreAnswer } from '../../src/significance/scorer.ts';
import { countScores } from '../../src/store/score-counts.ts';
import { createSignificanceBench, type SignificanceBench, scored, scoreInText } from './significance-bench.ts';

let bench: SignificanceBench;
beforeAll(async () => {
  bench = await createSignificanceBench();
});
afterAll(() => bench.close());
beforeEach(() => bench.freshBank());

const kindsOf = async (memoryId?: string) => (await bench.events(memoryId)).map(({ kind }) => kind);

test('a score stands with who gave it and which names it found, and is given once', async () => {
  const [memory = ''] = await bench.remember('Anna lives in Basel.');
  bench.scorer.answer = () => scored(2, 'Anna', 'Basel');
  expect(await bench.score()).toEqual({ scored: 1, remaining: 0 });
  expect(await bench.memories()).toMatchObject([{ significance: 2, isScored: true, attempts: 0, pin: null }]);
  expect(await bench.events()).toEqual([
    { kind: 'memory.scored', memory, detail: { score: 2, by: 'scripted/1', entities: ['Anna', 'Basel'] } },
  ]);
  expect(await bench.score()).toEqual({ scored: 0, remaining: 0 });
  expect(bench.scorer.batches).toHaveLength(1);
});

test('batches are what is due longest, and the rest is counted', async () => {
  const ids = await bench.remember(...Array.from({ length: 14 }, (_, index) => `1: fact ${index}`));
  expect(await bench.score()).toEqual({ scored: 12, remaining: 2 });
  expect(bench.scorer.batches[0]?.map(({ id }) => id)).toEqual(ids.slice(0, 12));
  expect(await bench.score()).toEqual({ scored: 2, remaining: 0 });
});

test('the scorer is given what was said before, and no connection is held while it thinks', async () => {
  const [memory = ''] = await bench.remember('She said yes.');
  await bench.db.query(`update engram.memories set dialogue = '["Is Anna coming?"]' where id = $1`, [memory]);
  let held = -1;
  bench.scorer.answer = (one) => {
    held = bench.db.poolCounts().used;
    expect(one.dialogue).toEqual(['Is Anna coming?']);
    return scored(1);
  };
  await bench.score();
  expect(held).toBe(0);
});

test.each([
  ['7', 7],
  ['NaN', Number.NaN],
  ['"high"', 'high'],
  ['-1', -1],
  ['2.5', 2.5],
  ['null', null],
])('accepted a score of 7 or NaN: %s is refused, and the others of the batch stand', async (_name, score) => {
  const [wrong, right] = await bench.remember('wrong', '2: right');
  bench.scorer.answer = (memory) =>
    memory.id === wrong ? ({ kind: 'scored', significance: score, entities: [] } as unknown as ScoreAnswer) : scored(2);
  expect(await bench.score()).toEqual({ scored: 1, remaining: 0 });
  expect(await bench.memories()).toMatchObject([
    { id: wrong, significance: null, isScored: false, attempts: 1, pin: null },
    { id: right, significance: 2, isScored: true, attempts: 0 },
  ]);
  expect(await kindsOf(wrong)).toEqual([]);
});

test('an answer that leaves memories out refuses those, and no other', async () => {
  const [first, second] = await bench.remember('2: first', '2: second');
  const { scorer } = bench;
  const deps = await bench.beside({ scorer: { ...scorer, score: async () => [scored(2)] } });
  await bench.score(createSignificanceEngine(deps));
  expect(await bench.memories()).toMatchObject([
    { id: first, significance: 2 },
    { id: second, significance: null, attempts: 1 },
  ]);
});

test('never retried a failed score: it comes back after a rest, and after five a person is asked', async () => {
  const [memory = ''] = await bench.remember('nobody knows');
  bench.scorer.answer = () => ({ kind: 'refused', why: 'a score of 7' });
  for (const attempts of [1, 2, 3, 4]) {
    await bench.score();
    expect(await bench.memories()).toMatchObject([{ attempts, parked: null }]);
    const { rows } = await bench.db.query<{ minutes: number }>(
      'select extract(epoch from score_next_at - now())::float8 / 60 as minutes from engram.memories where id = $1',
      [memory],
    );
    // 5 min × 4ⁿ, three quarters of it where the dice say a half.
    expect(rows[0]?.minutes).toBeCloseTo(5 * 4 ** (attempts - 1) * 0.75, 0);
    expect(await bench.score()).toEqual({ scored: 0, remaining: 0 });
    await bench.wakeAll();
  }
  await bench.score();
  expect(await bench.memories()).toMatchObject([{ attempts: 5, parked: 'a score of 7', isScored: false }]);
  expect(bench.logged.join()).toContain('jobs retry');
  const told = async () =>
    (
      await bench.db.query<{ kind: string; detail: unknown }>(
        `select kind, detail from engram.events where memory_id = $1 and kind = 'memory.score_parked' order by id`,
        [memory],
      )
    ).rows;
  expect(await told()).toEqual([{ kind: 'memory.score_parked', detail: { reason: 'a score of 7' } }]);
  const asked = bench.scorer.batches.length;
  await bench.wakeAll();
  await bench.score();
  expect(bench.scorer.batches).toHaveLength(asked);

  // A new text is a new try.
  bench.scorer.answer = scoreInText;
  await bench.db.query(`update engram.memories set text = '2: somebody knows' where id = $1`, [memory]);
  await bench.score();
  expect(await bench.memories()).toMatchObject([{ significance: 2, isScored: true, attempts: 0, parked: null }]);
});

test('never scored what came back: given up, invalidated, brought back, it is tried afresh; meanwhile nobody is asked for it', async () => {
  const [memory = ''] = await bench.remember('2: nobody knows');
  await bench.db.query(
    `update engram.memories set score_parked = 'a score of 7', score_attempts = 5, score_next_at = now() + interval '1 day',
       score_due_at = now() - interval '3 days' where id = $1`,
    [memory],
  );
  const counts = () => countScores(bench.db, 3);
  const given = (await counts()).parked;
  await bench.db.query('update engram.memories set invalidated_at = now() where id = $1', [memory]);
  expect((await counts()).parked).toBe(given - 1);
  await bench.db.query('update engram.memories set invalidated_at = null where id = $1', [memory]);
  expect(await bench.memories()).toMatchObject([{ parked: null, attempts: 0 }]);
  expect((await counts()).oldestUnscoredSeconds).toBeLessThan(3600);
  expect(await bench.score()).toEqual({ scored: 1, remaining: 0 });
});

test('how long a score waits is counted here: not before an import or a restore, over all rests, and from an edit on', async () => {
  const [memory = ''] = await bench.remember('1: old');
  const oldest = async () => Math.round((await countScores(bench.db, 3)).oldestUnscoredSeconds / 3600);
  const set = (what: string) => bench.db.query(`update engram.memories set ${what} where id = $1`, [memory]);
  await set(`created_at = now() - interval '100 days', score_next_at = now() + interval '1 day'`);
  expect(await oldest()).toBe(0);
  await set(`score_due_at = now() - interval '7 hours'`);
  expect(await oldest()).toBe(7);
  await bench.db.query(`update engram.store set restored_at = now() - interval '2 hours'`);
  expect(await oldest()).toBe(2);
  await bench.db.query('update engram.store set restored_at = null');
  // What a person asks for again begins again.
  await set(`score_parked = 'no'`);
  await set('score_parked = null');
  expect(await oldest()).toBe(0);
  await set(`score_due_at = now() - interval '7 hours'`);
  await set(`text = '1: new'`);
  expect(await oldest()).toBe(0);
});

test('a failure of the provider counts against no memory', async () => {
  await bench.remember('1: one', '1: two');
  bench.scorer.answer = () => {
    throw new ModelUnavailableError('429', { errorClass: 'rate_limit', retryAt: new Date() });
  };
  await expect(bench.score()).rejects.toThrow(ModelUnavailableError);
  expect(await bench.memories()).toMatchObject([
    { attempts: 0, isScored: false },
    { attempts: 0, isScored: false },
  ]);
  bench.scorer.answer = scoreInText;
  expect(await bench.score()).toEqual({ scored: 2, remaining: 0 });
});

test('what may be the fault of the model rests and is not counted, however often it comes', async () => {
  await bench.remember('1: one');
  bench.scorer.answer = () => ({ kind: 'postponed', why: 'malformed' });
  for (let round = 0; round < 7; round += 1) {
    expect(await bench.score()).toEqual({ scored: 0, remaining: 0 });
    await bench.wakeAll();
  }
  expect(await bench.memories()).toMatchObject([{ attempts: 0, parked: null, isScored: false }]);
});

test('a memory that is edited while the scorer reads it keeps no score of its old text', async () => {
  const [memory = ''] = await bench.remember('3: allergic to nuts');
  bench.races.at('score:called', async () => {
    await bench.db.query(`update engram.memories set text = '1: likes nuts' where id = $1`, [memory]);
    bench.races.clear();
  });
  expect(await bench.score()).toEqual({ scored: 0, remaining: 1 });
  expect(await bench.memories()).toMatchObject([{ significance: null, attempts: 0, pin: null }]);
  await bench.score();
  expect(await bench.memories()).toMatchObject([{ significance: 1, pin: null }]);
});

test('a memory that is invalidated, or deleted with its bank, while the scorer reads it is left alone', async () => {
  const [memory = ''] = await bench.remember('3: allergic to nuts');
  bench.races.at('score:called', async () => {
    await bench.db.query('update engram.memories set invalidated_at = now() where id = $1', [memory]);
    bench.races.clear();
  });
  expect(await bench.score()).toEqual({ scored: 0, remaining: 0 });
  expect(await bench.events()).toEqual([]);

  await bench.freshBank();
  await bench.remember('3: allergic to nuts');
  bench.races.at('score:called', async () => {
    await bench.db.query('delete from engram.banks where id = $1', [bench.bankId]);
  });
  expect(await bench.score()).toEqual({ scored: 0, remaining: 0 });
});

test('assumed one process: two with the same memories in hand score each once and pin it once', async () => {
  await bench.remember('3: one', '2: two', '3: three', '3: four', '3: five');
  const both = await Promise.all([bench.beside(), bench.beside()]);
  // Each has asked before either writes.
  const asked = both.map(() => Promise.withResolvers<void>());
  const engines = both.map((deps, index) =>
    createSignificanceEngine({
      ...deps,
      racepoints: {
        async reach(name) {
          if (name !== 'score:called') return;
          asked[index]?.resolve();
          await Promise.all(asked.map(({ promise }) => promise));
        },
      },
    }),
  );
  const reports = await Promise.all(engines.map((engine) => bench.score(engine)));
  expect(reports.reduce((sum, report) => sum + report.scored, 0)).toBe(5);
  const kinds = await kindsOf();
  expect(kinds.filter((kind) => kind === 'memory.scored')).toHaveLength(5);
  expect(kinds.filter((kind) => kind === 'memory.pinned')).toHaveLength(4);
  expect(kinds.filter((kind) => kind === 'memory.evicted')).toHaveLength(1);
  expect(await bench.pins()).toHaveLength(3);
});

test('assumed one process: a refusal that two have heard counts once', async () => {
  await bench.remember('nobody knows');
  bench.scorer.answer = () => ({ kind: 'refused', why: 'a score of 7' });
  const other = createSignificanceEngine(await bench.beside());
  let isNested = false;
  bench.races.at('score:called', async () => {
    if (isNested) return;
    isNested = true;
    await bench.score(other);
  });
  await bench.score();
  expect(await bench.memories()).toMatchObject([{ attempts: 1 }]);
});

test('evicted twice on a re-run: the same answers written again change nothing', async () => {
  await bench.remember('3: one', '3: two', '3: three', '3: four');
  const fails = await bench.beside();
  // The commit fails after everything was written; the run after it writes it once.
  const broken = createSignificanceEngine({
    ...fails,
    racepoints: {
      async reach(name) {
        if (name === 'score:before-commit') throw new Error('cut off');
      },
    },
  });
  await expect(bench.score(broken)).rejects.toThrow('cut off');
  expect(await bench.events()).toEqual([]);
  await bench.scoreAll();
  const once = await bench.events();
  expect(once.filter(({ kind }) => kind === 'memory.evicted')).toHaveLength(1);
  await bench.wakeAll();
  await bench.scoreAll();
  expect(await bench.events()).toEqual(once);
  expect(await bench.pins()).toHaveLength(3);
});

test('metrics: what was scored, how long it waited, what was evicted', async () => {
  const { metrics } = bench.database;
  const countOf = async (name: string, labels: Record<string, string> = {}) => {
    const metric = await metrics.registry.getSingleMetric(name)?.get();
    return (
      metric?.values.find(
        (value) =>
          Object.entries(labels).every(([key, label]) => value.labels[key as never] === label) &&
          !('metricName' in value && String(value.metricName).endsWith('_bucket')),
      )?.value ?? 0
    );
  };
  const before = await Promise.all([
    countOf('engramd_scores_total', { outcome: 'scored' }),
    countOf('engramd_scores_total', { outcome: 'refused' }),
    countOf('engramd_pins_evicted_total'),
  ]);
  await bench.remember('3: a', '3: b', '3: c', '3: d', 'x');
  bench.scorer.answer = (memory) => (memory.text === 'x' ? { kind: 'refused', why: 'x' } : scoreInText(memory));
  await bench.score();
  const after = await Promise.all([
    countOf('engramd_scores_total', { outcome: 'scored' }),
    countOf('engramd_scores_total', { outcome: 'refused' }),
    countOf('engramd_pins_evicted_total'),
  ]);
  expect(after.map((value, index) => value - (before[index] ?? 0))).toEqual([4, 1, 1]);
  const waits = await metrics.scoreWaitSeconds.get();
  expect(waits.values.find(({ metricName }) => metricName?.endsWith('_count'))?.value).toBeGreaterThanOrEqual(4);
});
