import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readScopeEpoch } from '../../src/store/scopes.ts';
import { decide, observe, vectorOf } from './decide.ts';
import { changes, eventKinds, lastChange, memories, observation, observations } from './store-view.ts';
import { createWorkbench, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

describe('each kind of op writes its rows, its images and its event:', () => {
  it('create that had lost to a newer value before it came', async () => {
    await observe(bench, { text: 'Ana drinks coffee', mentionedAt: '2026-03-10T00:00:00Z' });
    const { id } = await decide(
      bench,
      'Ana drinks tea',
      (batch, m) => [
        {
          op: 'create',
          as: 'n1',
          text: 'Ana drinks tea',
          memories: [m],
          validFrom: new Date('2026-03-01'),
          supersededBy: observationAlias(batch, 'Ana drinks coffee'),
          reason: 'older',
        },
      ],
      '2026-03-01T00:00:00Z',
    );
    const [coffee, tea] = [await observation(bench, 'Ana drinks coffee'), await observation(bench, 'Ana drinks tea')];
    expect(coffee).toMatchObject({ isLive: true, version: 1 });
    expect(tea).toMatchObject({
      isLive: false,
      version: 1,
      validFrom: '2026-03-01',
      validTo: '2026-03-10',
      supersededBy: coffee.id,
      sources: [{ id, version: 1 }],
    });
    expect((await lastChange(bench)).after?.created).toMatchObject({ id: tea.id, supersededBy: coffee.id });
  });

  it('reinforce', async () => {
    const [first = ''] = await observe(bench, { text: 'Ana drinks tea', mentionedAt: '2026-03-04T00:00:00Z' });
    const before = await observation(bench, 'Ana drinks tea');
    const { id } = await decide(
      bench,
      'Ana does drink tea',
      (batch, m) => [
        { op: 'reinforce', target: observationAlias(batch, 'Ana drinks tea'), memories: [m], reason: 'same' },
      ],
      '2026-03-01T00:00:00Z',
    );
    const after = await observation(bench, 'Ana drinks tea');
    expect(after).toEqual({
      ...before,
      validFrom: '2026-03-01',
      sources: [
        { id: first, version: 1 },
        { id, version: 1 },
      ],
    });
    expect(await lastChange(bench)).toMatchObject({
      op: 'reinforce',
      targetId: before.id,
      baseVersion: 1,
      resultId: null,
      memoryIds: [id],
      before: { target: { validFrom: '2026-03-04T00:00:00.000Z' } },
      after: { target: { validFrom: '2026-03-01T00:00:00.000Z' }, links: [{ memoryId: id, memoryVersion: 1 }] },
      beforeVector: null,
      afterVector: null,
      reason: 'same',
    });
    expect((await eventKinds(bench)).at(-1)).toBe('observation.reinforced');
    expect(await readScopeEpoch(bench.database.db, bench.bankId, []), 'no text was written').toBe(1);
  });

  it('revise, with the vector of both texts kept to the bit', async () => {
    await observe(bench, 'Ana drinks tea');
    const before = await observation(bench, 'Ana drinks tea');
    const { id } = await decide(bench, 'Ana drinks green tea', (batch, m) => [
      {
        op: 'revise',
        target: observationAlias(batch, 'Ana drinks tea'),
        text: 'Ana drinks green tea every day',
        memories: [m],
        reason: 'fuller',
      },
    ]);
    const after = await observation(bench, 'Ana drinks green tea every day');
    expect(after).toMatchObject({
      id: before.id,
      version: 2,
      isLive: true,
      scopeEpoch: 2,
      vector: await vectorOf(bench, 'Ana drinks green tea every day'),
    });
    expect(after.sources.map((source) => source.id)).toContain(id);
    expect(await lastChange(bench)).toMatchObject({
      op: 'revise',
      targetId: before.id,
      baseVersion: 1,
      before: { target: { text: 'Ana drinks tea', version: 1 } },
      after: { target: { text: 'Ana drinks green tea every day', version: 2 } },
      beforeVector: before.vector,
      beforeModel: bench.embedder.model.id,
      afterVector: after.vector,
      afterModel: bench.embedder.model.id,
    });
    expect((await eventKinds(bench)).at(-1)).toBe('observation.revised');
  });

  it('supersede', async () => {
    await observe(bench, { text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    const old = await observation(bench, 'Ana drinks tea');
    const { id } = await decide(bench, 'Ana drinks coffee now', (batch, m) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana drinks coffee',
        memories: [m],
        validFrom: new Date('2026-03-09'),
        reason: 'newer',
      },
    ]);
    const [tea, coffee] = [await observation(bench, 'Ana drinks tea'), await observation(bench, 'Ana drinks coffee')];
    expect(tea).toEqual({ ...old, isLive: false, version: 2, validTo: '2026-03-09', supersededBy: coffee.id });
    expect(coffee).toMatchObject({ isLive: true, version: 1, validFrom: '2026-03-09', sources: [{ id, version: 1 }] });
    expect(await lastChange(bench)).toMatchObject({
      op: 'supersede',
      targetId: tea.id,
      baseVersion: 1,
      resultId: coffee.id,
      before: { target: { supersededBy: null, validTo: null, version: 1 } },
      after: { target: { supersededBy: coffee.id, version: 2 }, created: { id: coffee.id } },
      afterVector: coffee.vector,
    });
    expect((await eventKinds(bench)).at(-1)).toBe('observation.superseded');
  });

  it('conflict', async () => {
    await observe(bench, 'Ana drinks tea');
    const old = await observation(bench, 'Ana drinks tea');
    await decide(bench, 'Ana never drinks tea', (batch, m) => [
      {
        op: 'conflict',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana never drinks tea',
        memories: [m],
        validFrom: null,
        reason: 'cannot both be',
      },
    ]);
    const rival = await observation(bench, 'Ana never drinks tea');
    expect(await observation(bench, 'Ana drinks tea'), 'the target stays as it was').toEqual(old);
    expect(rival).toMatchObject({ isLive: true, version: 1 });
    const conflicts = await bench.rows<{ id: string }>(
      'select id, left_id, right_id, status, reason from engram.conflicts where bank_id = $1',
      [bench.bankId],
    );
    const [left, right] = [old.id, rival.id].sort();
    expect(conflicts).toMatchObject([{ left_id: left, right_id: right, status: 'open', reason: 'cannot both be' }]);
    expect(await lastChange(bench)).toMatchObject({
      op: 'conflict',
      targetId: old.id,
      resultId: rival.id,
      after: { conflictId: conflicts[0]?.id },
    });
    expect((await eventKinds(bench)).at(-1)).toBe('observation.conflicted');
  });

  it('fold', async () => {
    const ids = await observe(bench, 'Ana drinks tea', 'Ana really drinks tea');
    const before = await observation(bench, 'Ana really drinks tea');
    await decide(bench, 'Ana, tea', (batch, m) => [
      {
        op: 'fold',
        target: observationAlias(batch, 'Ana really drinks tea'),
        into: observationAlias(batch, 'Ana drinks tea'),
        reason: 'twins',
      },
      { op: 'skip', memories: [m], reason: 'noise' },
    ]);
    const [folded, root] = [await observation(bench, before.text), await observation(bench, 'Ana drinks tea')];
    expect(folded).toEqual({ ...before, isLive: false, version: 2, canonicalId: root.id });
    expect(folded.sources, 'its evidence stays where it is').toEqual([{ id: ids[1], version: 1 }]);
    expect(root).toMatchObject({ isLive: true, version: 1 });
    expect((await changes(bench)).find((change) => change.op === 'fold')).toMatchObject({
      targetId: folded.id,
      resultId: root.id,
      baseVersion: 1,
      before: { target: { canonicalId: null, version: 1 } },
      after: { target: { canonicalId: root.id, version: 2 } },
    });
    expect(await eventKinds(bench)).toContain('observation.folded');
  });

  it('retire', async () => {
    await observe(bench, 'Ana drinks tea');
    const before = await observation(bench, 'Ana drinks tea');
    await decide(bench, 'Ana never drank tea', (batch, m) => [
      { op: 'retire', target: observationAlias(batch, 'Ana drinks tea'), reason: 'wrong' },
      { op: 'skip', memories: [m], reason: 'noise' },
    ]);
    expect(await observation(bench, 'Ana drinks tea')).toEqual({
      ...before,
      isLive: false,
      isRetired: true,
      version: 2,
    });
    expect((await changes(bench)).find((change) => change.op === 'retire')).toMatchObject({
      targetId: before.id,
      before: { target: { retiredAt: null } },
      after: { target: { version: 2, retiredAt: expect.any(String) } },
    });
    expect(await eventKinds(bench)).toContain('observation.retired');
  });

  it('skip', async () => {
    const { id } = await decide(bench, 'Hm', (_, m) => [{ op: 'skip', memories: [m], reason: 'says nothing' }]);
    expect(await memories(bench)).toMatchObject([{ id, state: 'consolidated', stateReason: 'says nothing' }]);
    expect(await observations(bench)).toEqual([]);
    expect(await lastChange(bench)).toMatchObject({ op: 'skip', memoryIds: [id], before: null, after: null });
    expect((await eventKinds(bench)).at(-1)).toBe('memory.skipped');
  });
});
