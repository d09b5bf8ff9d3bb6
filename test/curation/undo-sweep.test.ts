import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { observe } from '../consolidation/decide.ts';
import { liveTexts, observation } from '../consolidation/store-view.ts';
import { folds, fresh, good, sweep, warm } from '../consolidation/sweep-bench.ts';
import { curationOf } from './curation-bench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench();
});
beforeEach(() => undo.bench.freshBank());
afterAll(() => undo.bench.close());

async function twins(): Promise<void> {
  await observe(undo.bench, { text: warm, mentionedAt: '2026-03-04T10:00:00.123Z' }, fresh);
  undo.bench.decider.adjudicate_ = () => 'same';
}

async function sweepSet(): Promise<{ id: string; status: string; decided_at: Date | null }> {
  const [set] = await undo.bench.rows<{ id: string; status: string; decided_at: Date | null }>(
    "select id, status, decided_at from engram.change_sets where bank_id = $1 and kind = 'sweep' order by id desc limit 1",
    [undo.bench.bankId],
  );
  if (!set) throw new Error('there is no change set of a sweep');
  return set;
}

/** Each observation is looked at again. */
const touchAll = () =>
  undo.bench.rows('update engram.observations set updated_at = now() where bank_id = $1', [undo.bench.bankId]);

describe('a fold that a sweep made', () => {
  it('is taken back exactly: texts, links, states and vectors; and what had been folded before stays where it was', async () => {
    const { bench } = undo;
    await observe(bench, { text: warm, mentionedAt: '2026-03-04T10:00:00.123Z' }, fresh, good);
    // The youngest into the second first; then the second into the oldest, which takes it along.
    bench.decider.adjudicate_ = (a, b) =>
      [fresh, good].includes(a) && [fresh, good].includes(b) ? 'same' : 'different';
    expect(await sweep(bench)).toMatchObject({ folds: 1 });
    const before = await undo.view();
    bench.decider.adjudicate_ = () => 'same';
    await touchAll();
    expect(await sweep(bench)).toMatchObject({ folds: 1 });
    const after = await undo.view();
    const root = await observation(bench, warm);
    expect((await observation(bench, good)).canonicalId).toBe(root.id);

    const report = await undo.undo((await sweepSet()).id);
    expect(await undo.view()).toEqual(before);
    expect(report.held, 'no memory had a part in it').toEqual([]);
    await undo.undo(report.runId);
    expect(await undo.view()).toEqual(after);
  });

  it('and that a person took back is not made again, until a text changes', async () => {
    const { bench } = undo;
    await twins();
    await sweep(bench);
    await undo.undo((await sweepSet()).id);
    expect(await sweep(bench), 'the undo has changed the row, which is looked at again').toMatchObject({
      outcome: 'done',
      folds: 0,
    });
    await touchAll();
    expect(await sweep(bench)).toMatchObject({ folds: 0 });
    await bench.rows(
      'update engram.observations set text = $2, version = version + 1 where bank_id = $1 and text = $3',
      [bench.bankId, good, fresh],
    );
    expect(await sweep(bench)).toMatchObject({ folds: 1 });
  });
});

describe('in review mode', () => {
  const reviewed = async () => {
    const beside = await undo.bench.engineBeside({ apply: 'review' });
    return () => sweep(undo.bench, {}, beside);
  };

  it('a fold waits for a person, is proposed once, and happens when it is approved', async () => {
    const { bench } = undo;
    const sweepForReview = await reviewed();
    await twins();
    expect(await sweepForReview()).toMatchObject({ outcome: 'done', folds: 0, proposed: 1 });
    expect(await sweepSet()).toMatchObject({ status: 'proposed', decided_at: null });
    expect(await liveTexts(bench)).toEqual([fresh, warm]);
    await touchAll();
    expect(await sweepForReview()).toMatchObject({ outcome: 'done', pairs: 0, folds: 0 });
    expect(await folds(bench)).toEqual(['sweep proposed']);

    const curation = await curationOf(bench);
    const { signal } = new AbortController();
    await curation.approve({ bankId: bench.bankId, id: (await sweepSet()).id, op: undefined, signal });
    expect(await folds(bench)).toEqual(['sweep applied']);
    expect(await liveTexts(bench)).toEqual([warm]);
  });

  it('a fold that a person refused is not proposed again', async () => {
    const { bench } = undo;
    const sweepForReview = await reviewed();
    await twins();
    await sweepForReview();
    const curation = await curationOf(bench);
    await curation.reject({ bankId: bench.bankId, id: (await sweepSet()).id, op: undefined });
    await touchAll();
    expect(await sweepForReview()).toMatchObject({ outcome: 'done', folds: 0 });
    expect(await folds(bench)).toEqual(['sweep rejected']);
    expect(await liveTexts(bench)).toEqual([fresh, warm]);
  });
});
