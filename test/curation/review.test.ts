import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProposedOp } from '../../src/consolidation/decider.ts';
import { type Curation, createCuration } from '../../src/curation/create-curation.ts';
import { observe } from '../consolidation/decide.ts';
import { somebodyWaitsForALock } from '../consolidation/lock-waits.ts';
import { changes, liveTexts, memories, observations, states } from '../consolidation/store-view.ts';
import { createOp, memoryAlias, observationAlias } from '../consolidation/workbench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
let curation: Curation;
let hinted: string[];
/** The engine that applies at once, beside the one of the workbench, which proposes. */
let auto: Awaited<ReturnType<UndoBench['bench']['engineBeside']>>;
beforeAll(async () => {
  undo = await createUndoBench({ apply: 'review' });
  auto = await undo.bench.engineBeside({ apply: 'auto' });
  curation = createCuration({
    ...undo.deps,
    decider: { name: 'scripted/1' },
    hint: async (bankId) => void hinted.push(bankId),
  });
});
beforeEach(async () => {
  await undo.bench.freshBank();
  hinted = [];
});
afterAll(() => undo.bench.close());

const signal = new AbortController().signal;
const named = (id: string, op?: number) => ({ bankId: undo.bench.bankId, id, op, signal });
const tea = 'Ann drinks tea';

async function proposals(): Promise<string[]> {
  const rows = await undo.bench.rows<{ id: string }>(
    "select id from engram.change_sets where bank_id = $1 and status = 'proposed' order by created_at, id",
    [undo.bench.bankId],
  );
  return rows.map((row) => row.id);
}

async function proposal(): Promise<string> {
  const [only, ...more] = await proposals();
  if (only === undefined || more.length > 0) throw new Error(`${more.length + (only ? 1 : 0)} change sets wait`);
  return only;
}

const proposedOps: Record<string, (alias: (text: string) => string, memory: string) => ProposedOp[]> = {
  create: (_, m) => [createOp(m, 'n1', 'Ann has a cat')],
  reinforce: (o, m) => [{ op: 'reinforce', target: o(tea), memories: [m], reason: 'same' }],
  revise: (o, m) => [{ op: 'revise', target: o(tea), text: 'Ann drinks black tea', memories: [m], reason: 'fuller' }],
  supersede: (o, m) => [
    {
      op: 'supersede',
      target: o(tea),
      as: 'n1',
      text: 'Ann drinks coffee',
      memories: [m],
      validFrom: new Date('2026-03-01'),
      reason: 'new',
    },
  ],
  conflict: (o, m) => [
    { op: 'conflict', target: o(tea), as: 'n1', text: 'Ann hates tea', memories: [m], validFrom: null, reason: 'both' },
  ],
  'fold and retire': (o, m) => [
    { op: 'fold', target: o('Ann drinks green tea'), into: o(tea), reason: 'same' },
    { op: 'reinforce', target: o(tea), memories: [m], reason: 'same' },
    { op: 'retire', target: o(tea), reason: 'wrong' },
  ],
  skip: (_, m) => [{ op: 'skip', memories: [m], reason: 'noise' }],
};

describe('in review mode', () => {
  it.each(Object.entries(proposedOps))(
    '%s waits, nothing else is written, and approved it is what it would have been',
    async (_, ops) => {
      const { bench } = undo;
      const run = async (isReview: boolean) => {
        await bench.freshBank();
        await bench.remember({ text: tea, mentionedAt: '2026-01-01T00:00:00Z' }, 'Ann drinks green tea');
        await bench.consolidate({ engine: auto });
        await bench.remember({ text: 'Something about Ann', mentionedAt: '2026-03-02T00:00:00Z' });
        bench.decider.propose_ = (batch) =>
          ops((t) => observationAlias(batch, t), memoryAlias(batch, 'Something about Ann'));
        const before = JSON.stringify([
          await undo.view(),
          await bench.rows('select epoch from engram.scopes where bank_id = $1', [bench.bankId]),
        ]);
        await bench.consolidate(isReview ? {} : { engine: auto });
        expect(bench.logged).toEqual([]);
        if (isReview) {
          expect(
            JSON.stringify([
              await undo.view(),
              await bench.rows('select epoch from engram.scopes where bank_id = $1', [bench.bankId]),
            ]),
          ).toBe(before);
          expect((await memories(bench)).at(-1)).toMatchObject({ state: 'proposed', stateReason: 'review' });
          expect((await bench.consolidate()).counts.batches).toBe(0);
          const report = await curation.approve(named(await proposal()));
          expect(report.changeSets).toMatchObject([{ status: 'applied', conflicted: [] }]);
          expect(report.pendingAgain).toEqual([]);
          expect(hinted).toEqual([]);
        }
        return withoutIds({
          observations: await observations(bench),
          changes: (await changes(bench)).slice(2),
          memories: await memories(bench),
          decidedBy: await bench.rows('select decided_by from engram.memories where bank_id = $1', [bench.bankId]),
        });
      };
      expect(await run(true)).toEqual(await run(false));
    },
  );

  it('a rejected proposal leaves everything as it is and holds its memories; nothing is decided twice', async () => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate();
    const set = await proposal();
    const report = await curation.reject(named(set));
    expect(report.changeSets).toEqual([{ id: set, status: 'rejected', rejected: [1] }]);
    expect((await memories(bench))[0]).toMatchObject({ state: 'held', stateReason: 'rejected' });
    expect(await observations(bench)).toEqual([]);
    await expect(curation.reject(named(set))).rejects.toMatchObject({ code: 'NOT_PROPOSED', exitCode: 4 });
    await expect(curation.approve(named(set))).rejects.toMatchObject({ code: 'NOT_PROPOSED' });
    await expect(curation.undo(named(set))).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    await expect(curation.approve(named('01890000-0000-7000-8000-00000000dead'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('an op is decided with its group; the set is what is left of it', async () => {
    const { bench } = undo;
    await bench.remember('one thing', 'quite another matter');
    await bench.consolidate();
    const set = await proposal();
    expect((await curation.approve(named(set, 2))).changeSets).toMatchObject([{ status: 'proposed', applied: [2] }]);
    expect(await liveTexts(bench)).toEqual(['quite another matter']);
    expect((await curation.reject(named(set, 1))).changeSets).toMatchObject([{ status: 'applied', rejected: [1] }]);
    expect(await states(bench)).toEqual({ 'one thing': 'held', 'quite another matter': 'consolidated' });
  });

  it('all of a run is approved at once', async () => {
    const { bench } = undo;
    await bench.remember({ text: 'one', tags: ['a'] }, { text: 'two', tags: ['b'] });
    const { runId, counts } = await bench.consolidate();
    expect(counts).toMatchObject({ proposed: 2, ops: {} });
    expect(await proposals()).toHaveLength(2);
    expect((await curation.approve(named(runId))).changeSets).toHaveLength(2);
    expect(await liveTexts(bench)).toEqual(['one', 'two']);
    await undo.undo(runId);
    expect(await liveTexts(bench)).toEqual([]);
  });
});

describe('what no longer fits when it is approved is conflicted, and its memories are due again', () => {
  it.each([
    [
      'its memory was edited',
      'memory_changed',
      "update engram.memories set context = 'x' where bank_id = $1 and text = 'Something about Ann'",
    ],
    [
      'its memory was invalidated',
      'memory_changed',
      "update engram.memories set invalidated_at = now() where bank_id = $1 and text = 'Something about Ann'",
    ],
    [
      'its memory was deleted',
      'memory_changed',
      "delete from engram.memories where bank_id = $1 and text = 'Something about Ann'",
    ],
    [
      'its target was retired',
      'target_changed',
      'update engram.observations set retired_at = now(), version = version + 1 where bank_id = $1',
    ],
  ])('%s', async (_, reason, sql) => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate({ engine: auto });
    await bench.remember('Something about Ann');
    bench.decider.propose_ = (batch) => [
      { op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' },
    ];
    await bench.consolidate();
    const set = await proposal();
    await bench.rows(sql, [bench.bankId]);
    const rowsBefore = await observations(bench);
    const report = await curation.approve(named(set));
    expect(report.changeSets).toEqual([
      { id: set, status: 'conflicted', applied: [], conflicted: [{ ops: [1], reason }] },
    ]);
    expect(await observations(bench)).toEqual(rowsBefore);
    const after = (await memories(bench)).find((memory) => memory.text === 'Something about Ann');
    expect(after?.state ?? 'pending').toBe('pending');
    expect(hinted).toEqual([bench.bankId]);
  });

  it('a near repeat was written since', async () => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate();
    const set = await proposal();
    await bench.remember(tea);
    await bench.consolidate({ engine: auto });
    expect((await curation.approve(named(set))).changeSets).toMatchObject([
      { status: 'conflicted', conflicted: [{ reason: 'scope_moved' }] },
    ]);
    expect(await liveTexts(bench)).toEqual([tea]);
    // Decided again, against what is there now.
    await bench.consolidate({ engine: auto });
    expect(bench.decider.batches.at(-1)?.observations.map((shown) => shown.text)).toEqual([tea]);
  });
});

it('what waits without a plan is refused, and stays as it is', async () => {
  await undo.bench.remember(tea);
  await undo.bench.consolidate();
  const id = await proposal();
  await undo.bench.rows('update engram.change_ops set plan = null where change_set_id = $1', [id]);
  await expect(curation.approve(named(id))).rejects.toMatchObject({ code: 'NOT_PROPOSED', exitCode: 4 });
  await expect(curation.reject(named(id))).rejects.toMatchObject({ code: 'NOT_PROPOSED', exitCode: 4 });
  expect(await proposal()).toBe(id);
});

describe('two people at once', () => {
  it.each(['approve', 'reject'] as const)('one approves, the other, who wants to %s, is told', async (second) => {
    const { bench } = undo;
    await bench.remember('one', 'quite another');
    await bench.consolidate();
    const set = await proposal();
    const held = bench.races.hold('review:before-commit');
    const first = curation.approve(named(set));
    await held.reached;
    const other = curation[second](named(set)).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    await somebodyWaitsForALock(bench);
    held.release();
    await first;
    expect(await other).toMatchObject({ code: 'NOT_PROPOSED', exitCode: 4 });
    expect(await states(bench)).toEqual({ one: 'consolidated', 'quite another': 'consolidated' });
  });
});

describe('a retirement over the loss budget', () => {
  async function bankThatLosesAll() {
    const { bench } = undo;
    const ids = await observe(
      { ...bench, consolidate: () => bench.consolidate({ engine: auto }) },
      'one',
      'quite another',
    );
    await bench.rows('update engram.memories set invalidated_at = now() where id = any($1)', [ids]);
    await bench.consolidate({ engine: auto });
    return bench;
  }

  it('is done when a person approves it, without asking the budget again', async () => {
    const bench = await bankThatLosesAll();
    expect(await liveTexts(bench)).toHaveLength(1);
    await curation.approve(named(await proposal()));
    expect(await liveTexts(bench)).toEqual([]);
  });

  it('rejected is not proposed for ever: the observation stays without its dead evidence, and that can be undone', async () => {
    const bench = await bankThatLosesAll();
    const set = await proposal();
    const before = await undo.view();
    const report = await curation.reject(named(set));
    expect(report.kept).toHaveLength(1);
    const [live] = (await observations(bench)).filter((row) => row.isLive);
    expect(live).toMatchObject({ id: report.kept[0], needsReplan: false, sources: [] });
    await bench.consolidate({ engine: auto });
    expect(await proposals()).toEqual([]);
    expect(await liveTexts(bench)).toHaveLength(1);
    const [curated] = await bench.rows<{ id: string }>(
      "select id from engram.change_sets where bank_id = $1 and kind = 'curation'",
      [bench.bankId],
    );
    await undo.undo(curated?.id ?? '');
    expect(await undo.view()).toEqual(before);
  });
});

describe('a proposal that waited for another embedding model', () => {
  it('is applied with a vector of the model in use', async () => {
    const { bench } = undo;
    await bench.remember(tea);
    await bench.consolidate();
    await bench.rows("update engram.change_ops set after_embedding_model = 'local/older' where bank_id = $1", [
      bench.bankId,
    ]);
    const calls = bench.embedder.calls.length;
    await curation.approve(named(await proposal()));
    expect(bench.embedder.calls.slice(calls).map((call) => call.texts)).toEqual([[tea]]);
  });
});

/** Ids made by the run, in the order in which they turn up: what two runs have in common. */
function withoutIds(value: unknown): unknown {
  const names = new Map<string, string>();
  const text = JSON.stringify(value).replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}/g, (id) => {
    if (!names.has(id)) names.set(id, `id${names.size}`);
    return names.get(id) ?? '';
  });
  return JSON.parse(text.replace(/"\d{4}-\d\d-\d\dT[^"]*"/g, (time) => (time.startsWith('"2026-0') ? time : '"now"')));
}
