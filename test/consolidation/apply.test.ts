import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProposedOp } from '../../src/consolidation/decider.ts';
import { advanceScope, readScopeEpoch } from '../../src/store/scopes.ts';
import { applyOps, memoryRef, newText, seen } from './apply-directly.ts';
import { decide, observe, vectorOf } from './decide.ts';
import {
  attemptOutcomes,
  changes,
  eventKinds,
  lastChange,
  liveTexts,
  memories,
  observation,
  observations,
  states,
} from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

describe('a memory', () => {
  it('becomes an observation with link, vector, history, event, counts and an ended attempt, in one go (L2)', async () => {
    const [id = ''] = await bench.remember({ text: 'Ana drinks tea', mentionedAt: '2026-03-04T10:00:00Z' });
    const report = await bench.consolidate();

    expect(report).toMatchObject({
      outcome: 'drained',
      retryAt: null,
      counts: { memories: 1, batches: 1, replans: 0, ops: { create: 1 }, rejected: {} },
    });
    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      text: 'Ana drinks tea',
      version: 1,
      tags: [],
      isLive: true,
      validFrom: '2026-03-04',
      validTo: null,
      needsReplan: false,
      scopeEpoch: 1,
      vector: await vectorOf(bench, 'Ana drinks tea'),
      sources: [{ id, version: 1 }],
    });
    expect(await memories(bench)).toMatchObject([
      { state: 'consolidated', stateReason: null, attempts: 0, version: 1 },
    ]);
    expect(await changes(bench)).toMatchObject([
      {
        op: 'create',
        status: 'applied',
        setStatus: 'applied',
        targetId: null,
        resultId: row?.id,
        memoryIds: [id],
        before: { target: null, repointed: [], links: [] },
        after: {
          target: null,
          created: { id: row?.id, text: 'Ana drinks tea', version: 1 },
          links: [{ memoryId: id }],
        },
        beforeVector: null,
        afterVector: row?.vector,
        afterModel: bench.embedder.model.id,
      },
    ]);
    expect(await eventKinds(bench)).toEqual(['memory.added', 'observation.created']);
    expect(await attemptOutcomes(bench)).toEqual(['applied']);
    const runs = await bench.rows('select outcome, counts, trigger from engram.runs where bank_id = $1', [
      bench.bankId,
    ]);
    expect(runs).toEqual([{ outcome: 'drained', counts: report.counts, trigger: 'requested' }]);
  });

  it('without a vector gets one for its decision, and the observation has the same', async () => {
    await bench.remember({ text: 'Ana drinks tea', unembedded: true });
    await bench.consolidate();
    expect((await observation(bench, 'Ana drinks tea')).vector).toBe(await vectorOf(bench, 'Ana drinks tea'));
  });

  it('is settled once: a second run finds nothing, and no output of the first is its input (L10)', async () => {
    await observe(bench, 'Ana drinks tea', 'Ben drinks milk');
    const before = {
      events: await eventKinds(bench),
      rows: await observations(bench),
      asked: bench.decider.batches.length,
    };
    const again = await bench.consolidate();
    expect(again).toMatchObject({ outcome: 'drained', counts: { memories: 0, batches: 0 } });
    expect(bench.decider.batches.length).toBe(before.asked);
    expect(await observations(bench)).toEqual(before.rows);
    expect(await eventKinds(bench)).toEqual(before.events);
    const runs = await bench.rows('select 1 from engram.runs where bank_id = $1', [bench.bankId]);
    expect(runs.length, 'a run that did nothing leaves no row').toBe(1);
  });
});

describe('ops of one answer lean on each other:', () => {
  it('tea → coffee → tea in one batch is one chain, the last of it live', async () => {
    await bench.remember('Ana drinks tea', 'Ana drinks coffee', 'Ana drinks tea again');
    bench.decider.propose_ = (batch) => {
      const [first, second, third] = batch.memories;
      const supersede = (target: string, as: string, text: string, memory = '', day = ''): ProposedOp => ({
        op: 'supersede',
        target,
        as,
        text,
        memories: [memory],
        validFrom: new Date(day),
        reason: 'newer',
      });
      return [
        createOp(first?.alias ?? '', 'n1', 'Ana drinks tea', new Date('2026-03-01')),
        supersede('n1', 'n2', 'Ana drinks coffee', second?.alias, '2026-03-02'),
        supersede('n2', 'n3', 'Ana drinks tea', third?.alias, '2026-03-03'),
      ];
    };
    await bench.consolidate();
    expect(bench.logged).toEqual([]);
    const [first, second, third] = await observations(bench);
    expect(first).toMatchObject({
      text: 'Ana drinks tea',
      isLive: false,
      supersededBy: second?.id,
      validTo: '2026-03-02',
    });
    expect(second).toMatchObject({ text: 'Ana drinks coffee', isLive: false, supersededBy: third?.id });
    expect(third).toMatchObject({ text: 'Ana drinks tea', isLive: true, validTo: null, validFrom: '2026-03-03' });
    expect((await observations(bench)).map((row) => row.version)).toEqual([1, 1, 1]);
  });

  it('a fold of A into X and a revision of X leave X revised, with both bodies of evidence', async () => {
    const [a = '', x = ''] = await observe(bench, 'Ana likes tea', 'Ana drinks tea');
    const { id } = await decide(bench, 'Ana drinks tea daily', (batch, m) => [
      {
        op: 'fold',
        target: observationAlias(batch, 'Ana likes tea'),
        into: observationAlias(batch, 'Ana drinks tea'),
        reason: 'twins',
      },
      {
        op: 'revise',
        target: observationAlias(batch, 'Ana drinks tea'),
        text: 'Ana drinks tea daily',
        memories: [m],
        reason: 'fuller',
      },
    ]);
    const [root, folded] = [
      await observation(bench, 'Ana drinks tea daily'),
      await observation(bench, 'Ana likes tea'),
    ];
    expect(root).toMatchObject({ isLive: true, version: 2, vector: await vectorOf(bench, 'Ana drinks tea daily') });
    expect(root.sources.map((source) => source.id).sort()).toEqual([x, id].sort());
    expect(folded).toMatchObject({ canonicalId: root.id, sources: [{ id: a, version: 1 }] });
  });

  it('a fold re-points what was folded into its target and what was superseded by it', async () => {
    await observe(bench, 'Tea one', 'Tea two', 'Tea three', 'Milk before');
    await applyOps(bench, [
      { op: 'fold', target: await seen(bench, 'Tea one'), into: await seen(bench, 'Tea two'), reason: 'twins' },
    ]);
    const [m = ''] = await bench.remember('Tea instead of milk');
    await applyOps(bench, [
      {
        op: 'create',
        id: uuid(),
        content: newText('Milk long before'),
        memories: [memoryRef(m)],
        validFrom: null,
        supersededBy: await seen(bench, 'Tea two'),
        reason: 'older',
      },
    ]);
    await applyOps(bench, [
      { op: 'fold', target: await seen(bench, 'Tea two'), into: await seen(bench, 'Tea three'), reason: 'twins' },
    ]);
    const three = await observation(bench, 'Tea three');
    expect(await observation(bench, 'Tea one')).toMatchObject({ canonicalId: three.id, version: 3 });
    expect(await observation(bench, 'Tea two')).toMatchObject({ canonicalId: three.id, version: 2 });
    expect(await observation(bench, 'Milk long before')).toMatchObject({ supersededBy: three.id, version: 2 });
    const repointed = (await lastChange(bench)).before?.repointed ?? [];
    expect(repointed.map((image) => image.text).sort()).toEqual(['Milk long before', 'Tea one']);
  });
});

describe('an answer that', () => {
  it('retires and revises one target has only the first of the two done, and the memory is asked about again', async () => {
    await observe(bench, 'Ana drinks tea');
    const { id } = await decide(bench, 'Ana drinks green tea', (batch, m) => {
      const [shown] = batch.observations;
      if (!shown) return [createOp(m, 'n1', 'Ana drinks green tea')];
      const revise = { op: 'revise' as const, text: 'Ana drinks green tea', memories: [m], reason: 'fuller' };
      return [
        { op: 'retire', target: shown.alias, reason: 'wrong' },
        { ...revise, target: shown.alias },
      ];
    });
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ isRetired: true, version: 2 });
    expect(await observation(bench, 'Ana drinks green tea')).toMatchObject({ isLive: true, sources: [{ id }] });
    expect((await changes(bench)).filter((change) => change.status === 'rejected')).toMatchObject([
      { op: 'revise', memoryIds: [id], verdicts: [{ validator: 'alias-in-range' }] },
    ]);
  });

  it('revises and retires one target leaves a retired row whose text and vector agree (L6)', async () => {
    await observe(bench, 'Ana drinks tea');
    await decide(bench, 'Ana drinks green tea', (batch, m) => {
      const target = observationAlias(batch, 'Ana drinks tea');
      return [
        { op: 'revise', target, text: 'Ana drinks green tea', memories: [m], reason: 'fuller' },
        { op: 'retire', target, reason: 'wrong' },
      ];
    });
    expect(await observation(bench, 'Ana drinks green tea')).toMatchObject({
      isRetired: true,
      version: 3,
      vector: await vectorOf(bench, 'Ana drinks green tea'),
    });
    expect(await states(bench)).toEqual({ 'Ana drinks tea': 'consolidated', 'Ana drinks green tea': 'consolidated' });
  });

  it('names what is not there costs that op alone; what was refused is kept, with the judge and his reason', async () => {
    const [ana = '', ben = ''] = await bench.remember('Ana drinks tea', 'Ben drinks milk');
    bench.decider.propose_ = (batch) => [
      createOp(memoryAlias(batch, 'Ana drinks tea'), 'n1', 'Ana drinks tea'),
      { op: 'reinforce', target: 'o7', memories: [batch.memories.at(-1)?.alias ?? ''], reason: 'same' },
    ];
    const report = await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    expect(await states(bench)).toEqual({ 'Ana drinks tea': 'consolidated', 'Ben drinks milk': 'pending' });
    expect(report.counts.rejected['alias-in-range']).toBeGreaterThan(0);
    expect(await changes(bench)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ op: 'create', status: 'applied', memoryIds: [ana] }),
        expect.objectContaining({
          op: 'reinforce',
          status: 'rejected',
          memoryIds: [ben],
          verdicts: [{ validator: 'alias-in-range', reason: 'no observation o7 was shown or created before' }],
        }),
      ]),
    );
  });

  it('creates one text for two memories makes one observation of both', async () => {
    const ids = await bench.remember('Ana drinks tea', 'Ana drinks tea');
    await bench.consolidate();
    expect((await observation(bench, 'Ana drinks tea')).sources.map((source) => source.id)).toEqual(ids);
  });
});

describe('groups (L2)', () => {
  it('stand or fall alone: one that misses leaves the others', async () => {
    const [good = '', gone = ''] = await bench.remember('Ana drinks tea', 'Ben drinks milk');
    const create = (id: string, text: string) => ({
      op: 'create' as const,
      id: uuid(),
      content: newText(text),
      memories: [memoryRef(id)],
      validFrom: null,
      supersededBy: null,
      reason: 'new',
    });
    await bench.rows('update engram.memories set context = $2 where id = $1', [gone, 'edited meanwhile']);
    const result = await applyOps(bench, [create(good, 'Ana drinks tea'), create(gone, 'Ben drinks milk')]);
    expect(result.applied.map((group) => group.memberIds)).toEqual([[good]]);
    expect(result.missed.map((miss) => [miss.reason, miss.group.memberIds])).toEqual([['memory_changed', [gone]]]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    expect(await states(bench)).toEqual({ 'Ana drinks tea': 'consolidated', 'Ben drinks milk': 'pending' });
  });

  it('applied twice are applied once: the second time every one misses and nothing is written', async () => {
    await observe(bench, 'Old tea', 'Old milk', 'Old juice', 'Old water');
    const [m1 = '', m2 = '', m3 = '', m4 = ''] = await bench.remember('one', 'two', 'three', 'four');
    const common = { validFrom: null, reason: 'scripted' };
    const ops = [
      {
        op: 'create' as const,
        id: uuid(),
        content: newText('Brand new'),
        memories: [memoryRef(m1)],
        supersededBy: null,
        ...common,
      },
      {
        op: 'reinforce' as const,
        target: await seen(bench, 'Old tea'),
        memories: [memoryRef(m2)],
        replan: null,
        reason: 'same',
      },
      {
        op: 'supersede' as const,
        target: await seen(bench, 'Old milk'),
        id: uuid(),
        content: newText('Fresh milk'),
        memories: [memoryRef(m3)],
        ...common,
      },
      {
        op: 'fold' as const,
        target: await seen(bench, 'Old juice'),
        into: await seen(bench, 'Old water'),
        reason: 'twins',
      },
      { op: 'skip' as const, memories: [memoryRef(m4)], reason: 'noise' },
    ];
    const first = await applyOps(bench, ops);
    expect(first.missed).toEqual([]);
    const before = { rows: await observations(bench), events: await eventKinds(bench), changes: await changes(bench) };
    const second = await applyOps(bench, ops);
    expect(second.applied).toEqual([]);
    expect(second.missed.length).toBe(first.applied.length);
    expect({ rows: await observations(bench), events: await eventKinds(bench), changes: await changes(bench) }).toEqual(
      before,
    );
  });
});

describe('versions and epochs only grow (L22)', () => {
  it('whatever a statement says', async () => {
    await observe(bench, 'Ana drinks tea');
    await decide(bench, 'Ana drinks green tea', (batch, m) => [
      {
        op: 'revise',
        target: observationAlias(batch, 'Ana drinks tea'),
        text: 'Ana drinks green tea',
        memories: [m],
        reason: 'fuller',
      },
    ]);
    await expect(
      bench.rows('update engram.observations set version = 1 where bank_id = $1', [bench.bankId]),
    ).rejects.toThrow(/cannot go back from version 2 to 1/);
    const { db } = bench.database;
    expect(await readScopeEpoch(db, bench.bankId, [])).toBe(2);
    await advanceScope(db, bench.bankId, [], 1);
    expect(await readScopeEpoch(db, bench.bankId, [])).toBe(2);
  });
});
