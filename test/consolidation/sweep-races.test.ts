import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { curationOf } from '../curation/curation-bench.ts';
import { settled } from '../support/settled.ts';
import { applyOps, seen } from './apply-directly.ts';
import { decide, observe } from './decide.ts';
import { somebodyWaitsForALock } from './lock-waits.ts';
import { liveTexts, observation, observations, states } from './store-view.ts';
import { folds, fresh, good, sweep, sweepMark, sweepNow, warm } from './sweep-bench.ts';
import { createOp, createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(async () => {
  await bench.freshBank();
  await observe(bench, warm, fresh, good);
  bench.decider.pairs = [];
  say([warm, fresh]);
});
afterAll(() => bench.close());

/** Which are the same. */
function say(...same: readonly (readonly [string, string])[]): void {
  bench.decider.adjudicate_ = (held, offered) =>
    same.some(([a, b]) => [a, b].includes(held) && [a, b].includes(offered)) ? 'same' : 'different';
}

/** Between the verdict and the fold, once. */
function beforeTheFold(what: () => Promise<unknown>): void {
  let done = false;
  bench.races.at('apply:before-begin', async () => {
    if (done) return;
    done = true;
    await what();
  });
}

const change = (sql: string, text: string) =>
  bench.rows(`update engram.observations set ${sql}, version = version + 1 where bank_id = $1 and text = $2`, [
    bench.bankId,
    text,
  ]);

describe('between the verdict and the fold', () => {
  it('the twin is edited: it is left alone, the mark does not pass it, and the next sweep looks again', async () => {
    beforeTheFold(() => change(`text = text || ' indeed'`, fresh));
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 0, missed: 1 });
    expect(await folds(bench)).toEqual([]);
    expect(await sweepMark(bench)).toBeNull();
    bench.decider.pairs = [];
    say([warm, `${fresh} indeed`]);
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 1, missed: 0 });
    expect(bench.decider.pairs).toContainEqual([warm, `${fresh} indeed`]);
    expect(await sweepMark(bench)).not.toBeNull();
  });

  it('the older one is edited: what the younger says is not hidden behind it', async () => {
    beforeTheFold(() => change(`text = 'something else'`, warm));
    expect(await sweep(bench)).toMatchObject({ folds: 0, missed: 1 });
    expect(await liveTexts(bench)).toEqual([fresh, good, 'something else'].sort());
  });

  it('the twin is gone: nothing is folded into it, and nothing is lost', async () => {
    beforeTheFold(() => change('retired_at = now()', warm));
    expect(await sweep(bench)).toMatchObject({ folds: 0, missed: 1 });
    expect(await liveTexts(bench)).toEqual([fresh, good].sort());
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 0, missed: 0 });
  });

  it('a source is invalidated: the text above it is about to be written again, and nothing leans on it', async () => {
    beforeTheFold(() =>
      bench.rows('update engram.memories set invalidated_at = now() where bank_id = $1 and text = $2', [
        bench.bankId,
        warm,
      ]),
    );
    expect(await sweep(bench)).toMatchObject({ folds: 0, missed: 1 });
    expect(await observation(bench, fresh)).toMatchObject({ isLive: true, canonicalId: null });
    expect(await observation(bench, warm)).toMatchObject({ needsReplan: true });
  });

  it('a memory under it is forgotten, though its text stays: the reason may quote it, and is not kept', async () => {
    const { id: memoryId } = await decide(bench, warm, (batch, memory) => [
      { op: 'reinforce', target: observationAlias(batch, warm), memories: [memory], reason: 'same' },
    ]);
    expect((await observation(bench, warm)).sources).toHaveLength(2);
    const { forget } = await curationOf(bench);
    const { signal } = new AbortController();
    beforeTheFold(async () => {
      await forget({ bankId: bench.bankId, memoryId, signal });
      // Looked at again by now, and found to hold as it is.
      say();
      await bench.consolidate();
      say([warm, fresh]);
    });
    expect(await sweep(bench)).toMatchObject({ folds: 0, missed: 1 });
    expect(await observation(bench, warm)).toMatchObject({ isLive: true, sources: [expect.anything()] });
    expect(await sweep(bench), 'judged anew').toMatchObject({ folds: 1, missed: 0 });
  });

  it('the bank is deleted: the sweep is done, and nothing of it comes back', async () => {
    beforeTheFold(() => bench.rows('delete from engram.banks where id = $1', [bench.bankId]));
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 0, missed: 0 });
    for (const table of ['observations', 'runs', 'change_sets', 'sweep_marks', 'scopes']) {
      expect(await bench.rows(`select from engram.${table} where bank_id = $1`, [bench.bankId])).toEqual([]);
    }
  });

  it('the process dies before the commit: the fold has not happened, and happens once by the next sweep', async () => {
    const before = await observations(bench);
    let deaths = 0;
    bench.races.at('sweep:before-commit', () => {
      deaths += 1;
      if (deaths === 1) throw new Error('killed');
    });
    await expect(sweep(bench)).rejects.toThrow('killed');
    expect(await observations(bench)).toEqual(before);
    expect(await sweepMark(bench)).toBeNull();
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 1 });
    expect(await folds(bench)).toEqual(['sweep applied']);
    expect(deaths).toBe(2);
  });
});

describe('fold A into B while B goes into C', () => {
  it('B goes first: A is not folded into what is no longer there', async () => {
    const [target, into] = [await seen(bench, good), await seen(bench, fresh)];
    const hold = bench.races.hold('sweep:before-commit');
    const sweeping = sweep(bench);
    await hold.reached;
    const other = applyOps(bench, [{ op: 'fold', target, into, reason: 'same' }]);
    await somebodyWaitsForALock(bench);
    hold.release();
    expect(await sweeping).toMatchObject({ folds: 1 });
    expect((await other).missed.map(({ reason }) => reason)).toEqual(['target_changed']);
    const root = await observation(bench, warm);
    expect(await observation(bench, fresh)).toMatchObject({ canonicalId: root.id });
    expect(await observation(bench, good)).toMatchObject({ isLive: true });
  });

  it('A goes first: the fold of B is tried again, and takes A along', async () => {
    const [target, into] = [await seen(bench, good), await seen(bench, fresh)];
    const hold = bench.races.hold('apply:before-commit');
    await settled(bench.database.db);
    const other = applyOps(bench, [{ op: 'fold', target, into, reason: 'same' }]);
    await hold.reached;
    // Horizons wait for the one that is held, too: the rows to look at are older than it.
    const sweeping = sweepNow(bench);
    await somebodyWaitsForALock(bench);
    hold.release();
    expect((await other).applied).toHaveLength(1);
    expect(await sweeping).toMatchObject({ folds: 1, missed: 0 });
    const root = await observation(bench, warm);
    expect(await observation(bench, fresh)).toMatchObject({ canonicalId: root.id });
    expect(await observation(bench, good)).toMatchObject({ canonicalId: root.id });
    expect((await folds(bench)).sort()).toEqual(['consolidation applied', 'sweep applied']);
  });
});

it('two sweeps on two daemons fold once', async () => {
  const beside = await bench.engineBeside();
  const hold = bench.races.hold('sweep:before-commit');
  const first = sweep(bench);
  await hold.reached;
  const second = sweepNow(bench, {}, beside);
  await somebodyWaitsForALock(bench);
  hold.release();
  expect(await first).toMatchObject({ outcome: 'done', folds: 1, missed: 0 });
  expect(await second).toMatchObject({ outcome: 'done', folds: 0, missed: 1 });
  expect(await folds(bench)).toEqual(['sweep applied']);
  expect(await sweep(bench), 'the first has passed it').toMatchObject({ pairs: 0 });
});

describe('a batch reinforces the twin', () => {
  const said = 'and so they say again';
  beforeEach(async () => {
    await bench.remember(said);
    bench.decider.propose_ = (batch) => {
      const shown =
        batch.observations.find(({ text }) => text === fresh) ?? batch.observations.find(({ text }) => text === warm);
      const memory = memoryAlias(batch, said);
      if (!shown) return [createOp(memory, 'n1', said)];
      return [{ op: 'reinforce', target: shown.alias, memories: [memory], reason: 'same' }];
    };
  });

  it('after it was folded: the batch decides again, beside what stands there', async () => {
    const hold = bench.races.hold('batch:deduplicated');
    const batch = bench.consolidate();
    await hold.reached;
    expect(await sweep(bench)).toMatchObject({ folds: 1 });
    hold.release();
    await batch;
    expect(await states(bench)).toMatchObject({ [said]: 'consolidated' });
    expect(await observation(bench, fresh)).toMatchObject({ isLive: false, sources: [expect.anything()] });
  });

  it('before it is folded: the fold goes through, and its evidence with it', async () => {
    const hold = bench.races.hold('apply:before-begin');
    const sweeping = sweep(bench);
    await hold.reached;
    await bench.consolidate();
    hold.release();
    expect(await sweeping).toMatchObject({ folds: 1, missed: 0 });
    const root = await observation(bench, warm);
    const twin = await observation(bench, fresh);
    expect(twin).toMatchObject({ canonicalId: root.id, version: 2 });
    expect(twin.sources).toHaveLength(2);
  });
});
