import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Curation, createCuration } from '../../src/curation/create-curation.ts';
import { observe } from '../consolidation/decide.ts';
import { somebodyWaitsForALock } from '../consolidation/lock-waits.ts';
import { liveTexts, memories, observation, observations, states } from '../consolidation/store-view.ts';
import { memoryAlias, observationAlias } from '../consolidation/workbench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
let curation: Curation;
let review: Awaited<ReturnType<UndoBench['bench']['engineBeside']>>;
beforeAll(async () => {
  undo = await createUndoBench();
  review = await undo.bench.engineBeside({ apply: 'review' });
  curation = createCuration({ ...undo.deps, decider: { name: 'scripted/1' }, hint: async () => undefined });
});
beforeEach(() => undo.bench.freshBank());
afterAll(() => undo.bench.close());

const signal = new AbortController().signal;
const named = (id: string) => ({ bankId: undo.bench.bankId, id, signal });
const tea = 'Ann drinks tea';

async function lastSet(): Promise<string> {
  const rows = await undo.bench.rows<{ id: string }>(
    'select id from engram.change_sets where bank_id = $1 order by created_at desc, id desc limit 1',
    [undo.bench.bankId],
  );
  return rows[0]?.id ?? '';
}

async function retries(): Promise<number> {
  const { values } = await undo.bench.database.metrics.transactionRetries.get();
  return values.reduce((sum, value) => sum + value.value, 0);
}

describe('undo beside consolidation', () => {
  it('a batch that saw the undone text misses and is decided again, against what is there then', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    const set = await lastSet();
    await bench.remember('Ann drinks tea at five');
    let round = 0;
    bench.decider.propose_ = async (batch) => {
      const m = memoryAlias(batch, 'Ann drinks tea at five');
      const shown = batch.observations.map((row) => row.text);
      round += 1;
      if (round > 1) {
        expect(shown).toEqual([]);
        return [
          { op: 'create', as: 'n1', text: 'Ann drinks tea at five', memories: [m], validFrom: null, reason: 'new' },
        ];
      }
      await undo.undo(set);
      return [{ op: 'reinforce', target: observationAlias(batch, tea), memories: [m], reason: 'same' }];
    };
    await bench.consolidate();
    expect(round).toBe(2);
    expect(await liveTexts(bench)).toEqual(['Ann drinks tea at five']);
    expect(await states(bench)).toEqual({ [tea]: 'held', 'Ann drinks tea at five': 'consolidated' });
  });

  it('a create in flight is compared with the text that an undo brings back into sight', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    await bench.remember('Ann drinks tea in the garden');
    bench.decider.propose_ = (batch) => [
      {
        op: 'revise',
        target: observationAlias(batch, tea),
        text: 'Ann drinks tea in the garden',
        memories: ['m1'],
        reason: 'x',
      },
    ];
    await bench.consolidate();
    const set = await lastSet();
    await bench.remember(tea);
    let round = 0;
    bench.decider.propose_ = async (batch) => {
      round += 1;
      if (round === 1) {
        await undo.undo(set);
        return [{ op: 'create', as: 'n1', text: tea, memories: ['m1'], validFrom: null, reason: 'new' }];
      }
      return [{ op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' }];
    };
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual([tea]);
    expect((await observation(bench, tea)).sources).toHaveLength(2);
  });

  it('an apply that holds the observation goes first: the undo waits, sees it, and refuses', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    const set = await lastSet();
    await bench.remember('Ann drinks tea in the garden');
    bench.decider.propose_ = (batch) => [
      { op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' },
    ];
    const before = await retries();
    const held = bench.races.hold('apply:before-commit');
    const slice = bench.consolidate();
    await held.reached;
    const undoing = undo.undo(set).catch((thrown: unknown) => thrown);
    await somebodyWaitsForALock(bench);
    held.release();
    await slice;
    expect(await undoing).toMatchObject({ code: 'LATER_CHANGES', later: [{ op: 'reinforce' }] });
    expect((await observation(bench, tea)).sources).toHaveLength(2);
    expect(await retries()).toBe(before);
  });

  it('an undo that holds the observation goes first: the apply waits, misses, and decides again', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    const set = await lastSet();
    await bench.remember('Ann drinks tea in the garden');
    bench.decider.propose_ = (batch) =>
      batch.observations.length > 0
        ? [{ op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' }]
        : [{ op: 'skip', memories: ['m1'], reason: 'nothing to say it of' }];
    const before = await retries();
    const ready = bench.races.hold('apply:before-begin');
    const slice = bench.consolidate();
    await ready.reached;
    const held = bench.races.hold('undo:before-commit');
    const undoing = undo.undo(set);
    await held.reached;
    ready.release();
    await somebodyWaitsForALock(bench);
    held.release();
    await Promise.all([undoing, slice]);
    expect(await liveTexts(bench)).toEqual([]);
    expect(await states(bench)).toEqual({ [tea]: 'held', 'Ann drinks tea in the garden': 'consolidated' });
    expect(await retries()).toBe(before);
  });

  it('two undos of one set: one is done, the other is told', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    const set = await lastSet();
    const held = bench.races.hold('undo:before-commit');
    const first = undo.undo(set);
    await held.reached;
    const second = undo.undo(set).catch((thrown: unknown) => thrown);
    await somebodyWaitsForALock(bench);
    held.release();
    await first;
    expect(await second).toMatchObject({ code: 'NOT_APPLIED', exitCode: 4 });
  });

  it('undos of runs over several scopes, beside slices and edits of their memories: no deadlock, and all end', async () => {
    const { bench } = undo;
    const scopes = [[], ['a'], ['a', 'b'], ['c']];
    const before = await retries();
    for (let round = 0; round < 3; round += 1) {
      const ids = await bench.remember(
        ...scopes.flatMap((tags, n) => [0, 1].map((k) => ({ text: `thing ${n} ${k} of ${round}`, tags }))),
      );
      const { runId } = await bench.consolidate();
      await bench.remember(...scopes.map((tags, n) => ({ text: `thing ${n} 0 of ${round}`, tags })));
      await Promise.allSettled([
        undo.undo(runId),
        bench.consolidate(),
        ...ids
          .slice(0, 3)
          .map((id) => bench.rows('update engram.memories set context = $2 where id = $1', [id, 'edited'])),
      ]);
    }
    expect(await retries()).toBe(before);
    expect(bench.logged).toEqual([]);
  });
});

describe('approval beside others', () => {
  it('of a memory that is being edited: the edit goes first, the approval conflicts and changes nothing', async () => {
    const { bench } = undo;
    const [id] = await bench.remember(tea);
    await bench.consolidate({ engine: review });
    const set = await lastSet();
    const edited = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const edit = bench.database.db.tx({ label: 'edit' }, async (tx) => {
      await tx.query("update engram.memories set text = 'Ann drinks mate' where id = $1", [id]);
      edited.resolve();
      await release.promise;
    });
    await edited.promise;
    const approving = curation.approve(named(set));
    await somebodyWaitsForALock(bench);
    release.resolve();
    await edit;
    expect((await approving).changeSets).toMatchObject([
      { status: 'conflicted', conflicted: [{ reason: 'memory_changed' }] },
    ]);
    expect(await observations(bench)).toEqual([]);
    expect((await memories(bench))[0]).toMatchObject({ state: 'pending', isDue: true });
  });

  it('of a memory that is edited while the approval commits: the edit marks what was made of it', async () => {
    const { bench } = undo;
    const [id] = await bench.remember(tea);
    await bench.consolidate({ engine: review });
    const held = bench.races.hold('review:before-commit');
    const approving = curation.approve(named(await lastSet()));
    await held.reached;
    const edit = bench.rows("update engram.memories set text = 'Ann drinks mate' where id = $1", [id]);
    await somebodyWaitsForALock(bench);
    held.release();
    await Promise.all([approving, edit]);
    expect(await observation(bench, tea)).toMatchObject({ needsReplan: true });
    expect((await memories(bench))[0]).toMatchObject({ state: 'pending' });
  });

  it('of a text that a batch of the scope is about to create: the batch meets it and adds to it', async () => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate({ engine: review });
    const set = await lastSet();
    await bench.remember(tea);
    let round = 0;
    bench.decider.propose_ = async (batch) => {
      round += 1;
      if (round > 1)
        return [{ op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' }];
      return [{ op: 'create', as: 'n1', text: tea, memories: ['m1'], validFrom: null, reason: 'new' }];
    };
    const ready = bench.races.hold('apply:before-begin');
    const slice = bench.consolidate();
    await ready.reached;
    expect((await curation.approve(named(set))).changeSets).toMatchObject([{ status: 'applied' }]);
    ready.release();
    await slice;
    expect(await liveTexts(bench)).toEqual([tea]);
    expect((await observation(bench, tea)).sources).toHaveLength(2);
  });

  it('of a text that a batch has created meanwhile: the approval conflicts', async () => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate({ engine: review });
    const set = await lastSet();
    await bench.remember(tea);
    const held = bench.races.hold('apply:before-commit');
    const slice = bench.consolidate();
    await held.reached;
    const approving = curation.approve(named(set));
    await somebodyWaitsForALock(bench);
    held.release();
    await slice;
    expect((await approving).changeSets).toMatchObject([{ conflicted: [{ reason: 'scope_moved' }] }]);
    expect(await liveTexts(bench)).toEqual([tea]);
  });
});
