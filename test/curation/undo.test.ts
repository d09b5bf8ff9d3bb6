import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProposedOp } from '../../src/consolidation/decider.ts';
import { decide, observe } from '../consolidation/decide.ts';
import { eventKinds, liveTexts, memories, observation, observations, states } from '../consolidation/store-view.ts';
import { createOp, observationAlias } from '../consolidation/workbench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench();
});
beforeEach(() => undo.bench.freshBank());
afterAll(() => undo.bench.close());

async function lastSet(): Promise<string> {
  const rows = await undo.bench.rows<{ id: string }>(
    'select id from engram.change_sets where bank_id = $1 order by created_at desc, id desc limit 1',
    [undo.bench.bankId],
  );
  return rows[0]?.id ?? '';
}

const tea = 'Ann drinks tea';
const day = (text: string) => new Date(`2026-03-${text}T00:00:00.000Z`);

/** Each kind of op over an observation "Ann drinks tea" and one "Ann drinks green tea". */
const kinds: Record<string, (alias: (text: string) => string, memory: string) => ProposedOp[]> = {
  create: (_, m) => [createOp(m, 'n1', 'Ann has a cat', day('05'))],
  'create that had lost': (o, m) => [
    { ...createOp(m, 'n1', 'Ann drank milk', day('01')), supersededBy: o(tea) } as ProposedOp,
  ],
  reinforce: (o, m) => [{ op: 'reinforce', target: o(tea), memories: [m], reason: 'same' }],
  revise: (o, m) => [
    { op: 'revise', target: o(tea), text: 'Ann drinks black tea', memories: [m], reason: 'fuller' },
    { op: 'revise', target: o(tea), text: 'Ann drinks black tea daily', memories: [m], reason: 'fuller still' },
  ],
  supersede: (o, m) => [
    {
      op: 'supersede',
      target: o(tea),
      as: 'n1',
      text: 'Ann drinks coffee',
      memories: [m],
      validFrom: day('09'),
      reason: 'changed',
    },
  ],
  conflict: (o, m) => [
    { op: 'conflict', target: o(tea), as: 'n1', text: 'Ann hates tea', memories: [m], validFrom: null, reason: 'both' },
  ],
  fold: (o, m) => [
    { op: 'fold', target: o('Ann drinks green tea'), into: o(tea), reason: 'same' },
    { op: 'reinforce', target: o(tea), memories: [m], reason: 'same' },
  ],
  retire: (o, m) => [
    { op: 'reinforce', target: o(tea), memories: [m], reason: 'same' },
    { op: 'retire', target: o(tea), reason: 'wrong' },
  ],
  skip: (_, m) => [{ op: 'skip', memories: [m], reason: 'noise' }],
};

describe('an undo of a change set brings back exactly what was there', () => {
  it.each(Object.entries(kinds))('%s', async (_, ops) => {
    const { bench } = undo;
    await observe(bench, { text: tea, mentionedAt: '2026-03-04T10:00:00.123Z' }, 'Ann drinks green tea');
    const before = await undo.view();
    const versions = new Map((await observations(bench)).map((row) => [row.id, row.version]));
    const { id } = await decide(
      bench,
      'Something about Ann',
      (batch, m) => ops((t) => observationAlias(batch, t), m),
      '2026-03-02T00:00:00Z',
    );
    const after = await undo.view();
    const set = await lastSet();

    const report = await undo.undo(set);
    expect(await undo.view([...versions.keys()])).toEqual(before);
    expect(report.held).toEqual([id]);
    expect((await memories(bench)).at(-1)).toMatchObject({ state: 'held', stateReason: 'undone', version: 1 });
    for (const row of await observations(bench)) {
      expect(row.version).toBeGreaterThanOrEqual(versions.get(row.id) ?? 0);
      if (!versions.has(row.id)) expect(row).toMatchObject({ isLive: false, isRetired: true, sources: [] });
    }
    expect(await eventKinds(bench)).toEqual(expect.arrayContaining(['changes.undone', 'memory.held']));
    await expect(undo.undo(set)).rejects.toMatchObject({ code: 'NOT_APPLIED', exitCode: 4 });

    // And the undo itself can be undone, which brings back exactly what the change had left.
    const back = await undo.undo(report.runId);
    expect(await undo.view()).toEqual(after);
    expect(back.consolidated).toEqual([id]);
    expect((await memories(bench)).at(-1)).toMatchObject({ state: 'consolidated' });
    await expect(undo.undo(back.runId)).rejects.toMatchObject({ code: 'UNDO_THE_ORIGINAL' });
    await undo.undo(set);
    expect(await undo.view([...versions.keys()])).toEqual(before);
  });
});

describe('what stands on a change', () => {
  it('by a later change is listed, and nothing at all is done', async () => {
    const { bench } = undo;
    await observe(bench, tea);
    const set = await lastSet();
    await decide(bench, 'Ann drinks tea at five', (batch, m) => [
      {
        op: 'revise',
        target: observationAlias(batch, tea),
        text: 'Ann drinks tea at five',
        memories: [m],
        reason: 'fuller',
      },
    ]);
    const before = await undo.dump();
    const refused = await undo.undo(set).catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject({
      code: 'LATER_CHANGES',
      exitCode: 4,
      later: [{ op: 'revise', changeSetId: await lastSet(), seq: 1, what: 'revise "Ann drinks tea at five"' }],
    });
    expect(await undo.dump()).toBe(before);
    await undo.undo(await lastSet());
    await undo.undo(set);
    expect(await liveTexts(bench)).toEqual([]);
    expect(await states(bench)).toEqual({ [tea]: 'held', 'Ann drinks tea at five': 'held' });
  });

  it('erased texts cannot come back', async () => {
    await observe(undo.bench, tea);
    await undo.bench.rows('update engram.change_ops set erased_at = now() where bank_id = $1', [undo.bench.bankId]);
    await expect(undo.undo(await lastSet())).rejects.toMatchObject({ later: [{ what: 'its texts were erased' }] });
  });

  it('a memory that something else settled later keeps its state', async () => {
    const { bench } = undo;
    const { id } = await decide(bench, 'Hm', (_, m) => [{ op: 'skip', memories: [m], reason: 'noise' }]);
    const first = await lastSet();
    await bench.rows("update engram.memories set state = 'pending' where id = $1", [id]);
    bench.decider.propose_ = (batch) =>
      batch.memories.map((m) => ({ op: 'skip', memories: [m.alias], reason: 'noise' }));
    await bench.consolidate();
    expect((await undo.undo(first)).held).toEqual([]);
    expect((await memories(bench))[0]).toMatchObject({ state: 'consolidated' });
  });
});

it('an op is undone with its group, and the rest of the set stays', async () => {
  const { bench } = undo;
  await observe(bench, 'one thing', 'quite another matter');
  const set = await lastSet();
  await undo.undo(set, 2);
  expect(await liveTexts(bench)).toEqual(['one thing']);
  const [row] = await bench.rows<{ status: string }>('select status from engram.change_sets where id = $1', [set]);
  expect(row?.status).toBe('applied');
  await expect(undo.undo(set, 9)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await undo.undo(set);
  expect(await liveTexts(bench)).toEqual([]);
});

it('a link that moved to a newer version of its memory moves back', async () => {
  const { bench } = undo;
  const [id = ''] = await observe(bench, tea);
  await bench.rows('update engram.observations set needs_replan_at = null where bank_id = $1', [bench.bankId]);
  await bench.rows("update engram.memories set context = 'at home' where id = $1", [id]);
  await bench.rows('update engram.observations set needs_replan_at = null where bank_id = $1', [bench.bankId]);
  const before = await undo.view();
  bench.decider.propose_ = (batch) => [
    { op: 'reinforce', target: observationAlias(batch, tea), memories: ['m1'], reason: 'same' },
  ];
  await bench.consolidate();
  expect((await observation(bench, tea)).sources).toEqual([{ id, version: 2 }]);
  await undo.undo(await lastSet());
  const [row] = await observations(bench);
  expect(row?.sources).toEqual([{ id, version: 1 }]);
  expect(row?.needsReplan, 'its memory says something else by now').toBe(true);
  await bench.rows('update engram.observations set needs_replan_at = null where bank_id = $1', [bench.bankId]);
  expect(await undo.view()).toEqual(before);
});
