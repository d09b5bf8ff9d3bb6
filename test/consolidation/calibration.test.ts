import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { calibrate } from '../../src/consolidation/calibration/calibrate.ts';
import { type GoldenPair, readTuningPairs } from '../../src/consolidation/calibration/golden-pairs.ts';
import {
  mustMeet,
  proposeThreshold,
  scoreThresholds,
  thresholds,
} from '../../src/consolidation/calibration/score-thresholds.ts';
import { repeatSimilarityOf } from '../../src/consolidation/repeat-similarity.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { createPinnedEmbedder } from '../../src/models/embeddings/pinned-embedder.ts';
import { createLocalEmbedder } from '../../src/models/local/local-embedder.ts';
import { pinEmbeddingModel, setCalibration } from '../../src/store/embedding-models.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const pair = (label: GoldenPair['label']): GoldenPair => ({
  id: 'unrelated-01',
  kind: 'unrelated',
  label,
  a: { text: 'a' },
  b: { text: 'b' },
});

const scored = fc.array(
  fc.record({
    pair: fc.constantFrom<GoldenPair['label']>('reinforce', 'revise', 'supersede', 'conflict', 'keep-both').map(pair),
    cosine: fc.double({ min: -1, max: 1, noNaN: true }),
  }),
  { maxLength: 60 },
);

describe('thresholds', () => {
  test('run from 0.30 to 0.99 in hundredths', () => {
    expect([thresholds[0], thresholds[26], thresholds.at(-1), thresholds.length]).toEqual([0.3, 0.56, 0.99, 70]);
  });

  test('a higher one meets less: recall falls, and what is met needlessly too', () => {
    fc.assert(
      fc.property(scored, (pairs) => {
        const scores = scoreThresholds(pairs);
        for (const [at, score] of scores.entries()) {
          const before = scores[at - 1];
          if (before) expect(score.recall).toBeLessThanOrEqual(before.recall);
          if (before) expect(score.metNeedlessly).toBeLessThanOrEqual(before.metNeedlessly);
          const meeting = pairs.filter(({ cosine }) => cosine >= score.threshold);
          expect(score.met).toBe(meeting.filter((one) => mustMeet(one.pair)).length);
        }
      }),
    );
  });

  test('the one proposed keeps 99 % of what can be found, and no higher one does', () => {
    fc.assert(
      fc.property(scored, (pairs) => {
        const scores = scoreThresholds(pairs);
        const proposed = proposeThreshold(scores);
        const reachable = scores[0]?.recall ?? 0;
        expect(proposed.recall).toBeGreaterThanOrEqual(0.99 * reachable);
        for (const score of scores) {
          if (score.threshold > proposed.threshold) expect(score.recall).toBeLessThan(0.99 * reachable);
        }
      }),
    );
  });
});

test('an embedder that tells nothing apart gets the highest, one that finds nothing the lowest that finds as much', async () => {
  const signal = new AbortController().signal;
  const guarded = (vectorOf: (text: string) => Float32Array) =>
    guardedEmbedder(
      createFakeEmbedder({ model: { id: 'x', dimensions: 2, provider: 'openai' }, vectorOf }),
      () => undefined,
    );
  const all = await calibrate(
    guarded(() => Float32Array.of(1, 0)),
    signal,
  );
  expect(all.proposed).toMatchObject({ threshold: 0.99, recall: 1 });
  expect(all.pairs).toBe(readTuningPairs().length);
});

test('the built-in figure of the local model is about what calibrating it proposes', async () => {
  const local = createLocalEmbedder();
  const { proposed, scores } = await calibrate(
    guardedEmbedder(local, () => undefined),
    new AbortController().signal,
  );
  await local.release();
  const builtIn = repeatSimilarityOf({ id: local.model.id });
  expect(Math.abs(proposed.threshold - builtIn)).toBeLessThanOrEqual(0.1);
  expect(scores.find(({ threshold }) => threshold === builtIn)?.recall).toBeGreaterThan(0.99);
});

describe('the figure that holds', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  test('is the calibrated one, else the built-in, else a cautious one; known at the next look', async () => {
    const { db } = database;
    expect(repeatSimilarityOf({ id: 'openai/unheard-of' })).toBe(0.85);
    expect(repeatSimilarityOf({ id: 'local/use-512' })).toBe(0.5);
    const fake = createFakeEmbedder({ model: { id: 'local/use-512', dimensions: 512, provider: 'local' } });
    // Calibrated before anything was embedded.
    await setCalibration(db, fake.model, 0.61);
    await pinEmbeddingModel(db, fake.model);
    const embedder = createPinnedEmbedder(
      {
        db,
        clock: systemClock,
        log: silentLog,
        assertNoLease: () => undefined,
        open: () => fake,
        prepare: async () => undefined,
      },
      fake,
      true,
    );
    expect(repeatSimilarityOf((await embedder.current()).model)).toBe(0.61);
    await setCalibration(db, fake.model, 0.7);
    expect(repeatSimilarityOf(embedder.model)).toBe(0.61);
    expect(repeatSimilarityOf((await embedder.current()).model)).toBe(0.7);
  });
});
