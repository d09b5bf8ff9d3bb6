import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch } from '../../src/consolidation/decider.ts';
import { dueWorkOf } from '../../src/store/due-work.ts';
import { applyOps, memoryRef, newText, seen } from './apply-directly.ts';
import { changes, eventKinds, lastChange, liveTexts, memories, observation, observations } from './store-view.ts';
import { createWorkbench, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const edit = (id: string | undefined, text: string) =>
  bench.rows('update engram.memories set text = $2 where id = $1', [id, text]);
const remove = (id: string | undefined) => bench.rows('delete from engram.memories where id = $1', [id]);

/** One observation that rests on all of these. */
async function observeTogether(text: string, ...sources: string[]): Promise<string[]> {
  const ids = await bench.remember(...sources);
  bench.decider.propose_ = (batch) => [
    { op: 'create', as: 'n1', text, memories: batch.memories.map((m) => m.alias), validFrom: null, reason: 'together' },
  ];
  await bench.consolidate();
  const { rewrite_ } = bench.decider;
  bench.decider.reset();
  bench.decider.rewrite_ = rewrite_;
  return ids;
}

const sourceIds = async (text: string) => (await observation(bench, text)).sources.map((source) => source.id);

describe('the only source', () => {
  it('edited: the edit is written into the observation, which keeps its id, and the memory is settled by it (L6)', async () => {
    const [id] = await bench.remember('Ana drinks tea');
    await bench.consolidate();
    const before = await observation(bench, 'Ana drinks tea');
    await edit(id, 'Ana drinks green tea');
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ needsReplan: true, isLive: true });

    const report = await bench.consolidate();
    expect(report.counts).toMatchObject({ ops: { revise: 1 } });
    const after = await observation(bench, 'Ana drinks green tea');
    expect(after).toMatchObject({ id: before.id, version: 2, needsReplan: false, sources: [{ id, version: 2 }] });
    expect(after.vector).not.toBe(before.vector);
    expect(await memories(bench)).toMatchObject([{ state: 'consolidated', version: 2 }]);
    expect(await lastChange(bench)).toMatchObject({
      op: 'revise',
      before: { target: { text: 'Ana drinks tea', version: 1 }, links: [{ memoryId: id, memoryVersion: 1 }] },
      after: { target: { text: 'Ana drinks green tea' }, links: [{ memoryId: id, memoryVersion: 2 }] },
      beforeVector: before.vector,
      afterVector: after.vector,
    });
    expect(bench.decider.batches, 'it was not decided a second time').toHaveLength(1);
  });

  it('deleted: the observation retires, and is never deleted', async () => {
    const [id] = await bench.remember('Ana drinks tea');
    await bench.consolidate();
    await remove(id);
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({
      isRetired: true,
      needsReplan: false,
      version: 2,
    });
    expect((await eventKinds(bench)).slice(-2)).toEqual(['memory.deleted', 'observation.retired']);
    const again = await bench.consolidate();
    expect(again.counts.ops).toEqual({});
  });

  it('invalidated: as if deleted, and its link goes with it', async () => {
    const [id] = await bench.remember('Ana drinks tea');
    await bench.consolidate();
    await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [id]);
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ isRetired: true, sources: [] });
    expect((await lastChange(bench)).before?.links).toEqual([
      { memoryId: id, memoryVersion: 1, observationId: expect.any(String) },
    ]);
  });

  it('moved to another scope: the observation retires here, and the memory is decided there (L7)', async () => {
    const [id] = await bench.remember('Ana drinks tea');
    await bench.consolidate();
    await bench.rows(`update engram.memories set tags = '{kitchen}' where id = $1`, [id]);
    await bench.consolidate();
    const [here, there] = await observations(bench);
    expect(here).toMatchObject({ tags: [], isRetired: true, sources: [] });
    expect(there).toMatchObject({ tags: ['kitchen'], isLive: true, sources: [{ id, version: 2 }] });
  });
});

describe('one of two sources', () => {
  it('deleted, and the other still says it: the text stays, the link goes', async () => {
    const [first, second] = await observeTogether('Ana drinks tea', 'Ana drinks tea', 'Ana, tea');
    await remove(second);
    const report = await bench.consolidate();
    expect(report.counts.ops).toEqual({ reinforce: 1 });
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ version: 1, isLive: true, needsReplan: false });
    expect(await sourceIds('Ana drinks tea')).toEqual([first]);
  });

  it('deleted, and the other says less: the text is written again from what is left (L6)', async () => {
    const [first, second] = await observeTogether('Ana drinks tea with milk', 'Ana drinks tea', 'with milk');
    await remove(second);
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ version: 2, needsReplan: false });
    expect(await sourceIds('Ana drinks tea')).toEqual([first]);
  });

  it('edited: the text is written again from the other, and the edit is decided like a new memory', async () => {
    const [first, second] = await observeTogether('Ana drinks tea with milk', 'Ana drinks tea', 'with milk');
    await edit(second, 'Ben drinks water');
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Ben drinks water']);
    expect(await sourceIds('Ana drinks tea')).toEqual([first]);
    expect((await observation(bench, 'Ben drinks water')).sources).toEqual([{ id: second, version: 2 }]);
  });
});

describe('evidence of folded and superseded ones', () => {
  it('counts for the root: with its own sources gone it lives on what was folded into it', async () => {
    const [a, b] = await bench.remember('Ana drinks tea', 'Tea is what Ana drinks');
    await bench.consolidate();
    await applyOps(bench, [
      {
        op: 'fold',
        target: await seen(bench, 'Tea is what Ana drinks'),
        into: await seen(bench, 'Ana drinks tea'),
        reason: 'twins',
      },
    ]);
    await remove(a);
    await bench.consolidate();
    const root = (await observations(bench)).find((row) => row.isLive);
    expect(root?.sources.map((source) => source.id)).toEqual([b]);
  });

  it('gone: the folded one retires, and its root is not touched', async () => {
    const [, b] = await bench.remember('Ana drinks tea', 'Tea is what Ana drinks');
    await bench.consolidate();
    await applyOps(bench, [
      {
        op: 'fold',
        target: await seen(bench, 'Tea is what Ana drinks'),
        into: await seen(bench, 'Ana drinks tea'),
        reason: 'twins',
      },
    ]);
    const root = await observation(bench, 'Ana drinks tea');
    await remove(b);
    await bench.consolidate();
    expect(await observation(bench, 'Tea is what Ana drinks')).toMatchObject({ isRetired: true });
    expect(await observation(bench, 'Ana drinks tea')).toEqual(root);
  });

  it('a retirement re-opens what the retired one had superseded, where others can find it again', async () => {
    await bench.remember({ text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    await bench.consolidate();
    const [id] = await bench.remember('Ana drinks coffee now');
    bench.decider.propose_ = (batch) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana drinks coffee',
        memories: batch.memories.map((memory) => memory.alias),
        validFrom: new Date('2026-03-09'),
        reason: 'newer',
      },
    ];
    await bench.consolidate();
    const epoch = (await observation(bench, 'Ana drinks coffee')).scopeEpoch;
    await remove(id);
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    const tea = await observation(bench, 'Ana drinks tea');
    expect(tea).toMatchObject({ supersededBy: null, validTo: null, version: 3 });
    expect(tea.scopeEpoch, 'a create that was prepared before has to see it').toBeGreaterThan(epoch);
    const retirement = (await changes(bench)).find((change) => change.op === 'retire');
    expect(retirement?.before?.repointed).toMatchObject([{ id: tea.id, version: 2 }]);
  });
});

it('an observation that is re-opened takes in what was written anew while it was history', async () => {
  const superseding = (text: string, day: string) => (batch: Batch) => [
    {
      op: 'supersede' as const,
      target: batch.observations[0]?.alias ?? '',
      as: 'n1',
      text,
      memories: batch.memories.map((memory) => memory.alias),
      validFrom: new Date(day),
      reason: 'newer',
    },
  ];
  const [first = ''] = await bench.remember({ text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
  await bench.consolidate();
  const [coffee] = await bench.remember('Ana drinks coffee');
  bench.decider.propose_ = superseding('Ana drinks coffee', '2026-03-02');
  await bench.consolidate();
  bench.decider.reset();
  const [again = ''] = await bench.remember('Ana drinks tea');
  await bench.consolidate();
  expect(await liveTexts(bench)).toEqual(['Ana drinks coffee', 'Ana drinks tea']);
  await remove(coffee);
  await bench.consolidate();
  const live = (await observations(bench)).filter((row) => row.isLive);
  expect(live).toMatchObject([{ text: 'Ana drinks tea', sources: [{ id: first }], supersededBy: null }]);
  const folded = (await observations(bench)).find((row) => row.canonicalId === live[0]?.id);
  expect(folded?.sources.map((source) => source.id)).toEqual([again]);
});

describe('a marked observation', () => {
  it('is shown to nobody and leant on by nobody until it is written again', async () => {
    const [, second] = await observeTogether('Ana drinks tea', 'Ana drinks tea', 'Ana, tea');
    await bench.remember('Ana drinks tea too');
    bench.decider.propose_ = (batch) => [
      {
        op: 'reinforce',
        target: observationAlias(batch, 'Ana drinks tea'),
        memories: batch.memories.map((memory) => memory.alias),
        reason: 'same',
      },
    ];
    const decided = bench.races.hold('batch:proposed');
    const slice = bench.consolidate();
    await decided.reached;
    await remove(second);
    bench.decider.propose_ = (batch) => {
      expect(batch.observations).toEqual([]);
      return batch.memories.map((memory) => ({ op: 'skip', memories: [memory.alias], reason: 'noise' }));
    };
    decided.release();
    await slice;
    expect((await observation(bench, 'Ana drinks tea')).sources).toHaveLength(1);
    expect(bench.decider.batches).toHaveLength(2);
  });

  it('takes in what was written beside it in the same words meanwhile', async () => {
    const [first, second] = await observeTogether('Ana drinks tea', 'Ana drinks tea', 'Ana, tea');
    const marked = await observation(bench, 'Ana drinks tea');
    const [third] = await bench.remember('Ana drinks tea');
    const decided = bench.races.hold('batch:recalled');
    const slice = bench.consolidate();
    await decided.reached;
    await remove(second);
    decided.release();
    await slice;
    expect(await liveTexts(bench), 'the new one could not lean on it').toEqual(['Ana drinks tea', 'Ana drinks tea']);

    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    const rows = await observations(bench);
    expect(rows.find((row) => row.isLive)).toMatchObject({
      id: marked.id,
      needsReplan: false,
      sources: [{ id: first }],
    });
    expect(rows.find((row) => !row.isLive)).toMatchObject({ canonicalId: marked.id, sources: [{ id: third }] });
    expect((await changes(bench)).slice(-2).map((change) => change.op)).toEqual(['reinforce', 'fold']);
  });

  it('rewritten into the words of another: the two become one', async () => {
    await bench.remember('Ana drinks tea');
    await bench.consolidate();
    const [, milk] = await observeTogether('Ana drinks tea with milk', 'Ana drinks tea', 'with milk');
    await remove(milk);
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
  });

  it('back in sight is seen by a create that was prepared while it was not (L3)', async () => {
    const [first, second] = await observeTogether('Ana drinks tea', 'Ana drinks tea', 'Ana, tea');
    const beside = await bench.engineBeside();
    const [third] = await bench.remember('Ana drinks tea');
    const selected = bench.races.hold('batch:selected');
    const slice = bench.consolidate();
    await selected.reached;
    await remove(second);
    const prepared = bench.races.hold('batch:deduplicated');
    selected.release();
    await prepared.reached;
    expect(bench.decider.batches.at(-1)?.observations).toEqual([]);
    // Another slice writes the marked one again, and is stopped before it comes to the memory.
    const replanned = bench.races.hold('batch:selected');
    const other = bench.consolidate({ engine: beside });
    await replanned.reached;
    prepared.release();
    await slice;
    replanned.release();
    await other;
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    expect(await sourceIds('Ana drinks tea')).toEqual([first, third]);
  });

  it('that the decider cannot write is left alone for an hour, and the memories of the bank are not', async () => {
    const [first, second] = await observeTogether('Ana drinks tea with milk', 'Ana drinks tea', 'with milk');
    await remove(second);
    await bench.remember('Ben drinks water');
    bench.decider.rewrite_ = () => {
      throw new Error('cannot');
    };
    expect((await bench.consolidate()).counts.memories).toBe(1);
    expect(bench.logged.join()).toContain('could not be written again');
    bench.decider.rewrite_ = () => 'Ana drinks tea';
    expect((await bench.consolidate()).counts.ops).toEqual({});
    const work = await dueWorkOf(bench.database.db, bench.bankId, 500);
    expect(work).toMatchObject({ due: 0, replans: 0 });
    const pauseMs = (work?.nextAttemptAt?.getTime() ?? 0) - (work?.now.getTime() ?? 0);
    expect(Math.round(pauseMs / 60_000), 'the bank has a job again when it is due').toBe(60);
    // What was to be waited for may be mended by what happens next.
    await edit(first, 'Ana drinks mate');
    bench.decider.rewrite_ = (_, [source = '']) => source;
    expect((await bench.consolidate()).counts.ops).toEqual({ revise: 1 });
    expect(await liveTexts(bench)).toContain('Ana drinks mate');
  });
});

describe('between a replan’s look and its apply', () => {
  /** Two sources, one of them deleted; `meanwhile` runs when the decider has already written the text again. */
  async function during(meanwhile: (ids: { first: string }) => Promise<unknown>) {
    const [first = '', second] = await observeTogether('Ana drinks tea with milk', 'Ana drinks tea', 'with milk');
    await remove(second);
    const apply = bench.races.hold('apply:before-begin');
    const slice = bench.consolidate();
    await apply.reached;
    await meanwhile({ first });
    apply.release();
    return { first, report: await slice };
  }

  it('a new source arrives: the text is not rewritten over it, and the mark stays', async () => {
    const { report } = await during(async () => {
      const [id] = await bench.remember('Ana takes milk in her tea');
      const target = await observation(bench, 'Ana drinks tea with milk');
      await bench.rows(
        `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version) values ($1, $2, $3, 1)`,
        [bench.bankId, target.id, id],
      );
      await bench.rows(`update engram.memories set state = 'consolidated' where id = $1`, [id]);
    });
    expect(report.counts.replans).toBe(1);
    expect(report.counts.ops).toEqual({});
    expect(await observation(bench, 'Ana drinks tea with milk')).toMatchObject({ version: 1, needsReplan: true });
    bench.decider.rewrite_ = (text, sources) => (sources.length === 2 ? text : 'wrong');
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea with milk')).toMatchObject({ version: 1, needsReplan: false });
  });

  it('the other source is edited: what was written from the old words is not applied', async () => {
    const { report } = await during(({ first }) => edit(first, 'Ana drinks mate'));
    expect(report.counts.ops, 'the edit itself waits for its observation').not.toHaveProperty('revise');
    await bench.consolidate();
    expect(await liveTexts(bench)).toContain('Ana drinks mate');
    expect(await liveTexts(bench)).not.toContain('Ana drinks tea');
  });

  it('the other source is deleted as well: nothing is written, then the observation retires', async () => {
    await during(({ first }) => remove(first));
    expect(await observation(bench, 'Ana drinks tea with milk')).toMatchObject({ needsReplan: true, isLive: true });
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea with milk')).toMatchObject({ isRetired: true });
  });

  it('somebody else revises it: the replan misses', async () => {
    const { report } = await during(async () => {
      await bench.rows('update engram.observations set needs_replan_at = null where bank_id = $1', [bench.bankId]);
      const [m = ''] = await bench.remember('Ana, mate');
      await applyOps(bench, [
        {
          op: 'revise',
          target: await seen(bench, 'Ana drinks tea with milk'),
          content: newText('Ana drinks mate'),
          memories: [memoryRef(m)],
          replan: null,
          reason: 'changed',
        },
      ]);
    });
    expect(report.counts.replans).toBe(1);
    expect(await liveTexts(bench)).toEqual(['Ana drinks mate']);
  });
});
