import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { applyOps, memoryRef, newText, seen } from './apply-directly.ts';
import { somebodyWaitsForALock } from './lock-waits.ts';
import { changes, liveTexts, memories, observation, observations, states } from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
/** One memory a batch, as many batches at once as there are memories. */
let single: Awaited<ReturnType<Workbench['engineBeside']>>;
let singleBeside: typeof single;
beforeAll(async () => {
  bench = await createWorkbench();
  single = await bench.engineBeside({ concurrency: 64, batchMemories: 1 });
  singleBeside = await bench.engineBeside({ concurrency: 64, batchMemories: 1 });
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

/** Nobody passes the point before `count` stand at it; afterwards everybody does. */
function meetAt(point: RacepointName, count: number): void {
  const everybody = Promise.withResolvers<void>();
  let arrived = 0;
  bench.races.at(point, () => {
    arrived += 1;
    if (arrived >= count) everybody.resolve();
    return everybody.promise;
  });
}

/** Says again what it was shown, and creates the rest. */
function reinforceOrCreate(batch: Batch): ProposedOp[] {
  return batch.memories.map((memory, index) => {
    const known = batch.observations.find((shown) => shown.text === memory.text);
    return known
      ? { op: 'reinforce', target: known.alias, memories: [memory.alias], reason: 'same' }
      : createOp(memory.alias, `n${index + 1}`, memory.text);
  });
}

async function expectEachAppliedOnce(ids: readonly string[]) {
  const applied = (await changes(bench)).filter((change) => change.status === 'applied');
  for (const id of ids) expect(applied.filter((change) => change.memoryIds.includes(id))).toHaveLength(1);
  expect((await memories(bench)).filter((memory) => memory.state !== 'consolidated')).toEqual([]);
}

describe('two batches', () => {
  it('update one observation: the second is decided again beside the first, and nothing is lost (L3)', async () => {
    await bench.remember('Ana drinks tea');
    await bench.consolidate();
    const ids = await bench.remember('with milk', 'with honey');
    bench.decider.propose_ = (batch) => [
      {
        op: 'revise',
        target: batch.observations[0]?.alias ?? '',
        text: `${batch.observations[0]?.text} ${batch.memories[0]?.text}`,
        memories: batch.memories.map((memory) => memory.alias),
        reason: 'fuller',
      },
    ];
    bench.decider.adjudicate_ = () => 'different';
    meetAt('batch:proposed', 2);
    const report = await bench.consolidate({ engine: single });

    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    expect(row?.text.split(' with ').sort()).toEqual(['Ana drinks tea', 'honey', 'milk']);
    expect(row).toMatchObject({ version: 3, isLive: true });
    expect(row?.sources.map((source) => source.id)).toEqual(expect.arrayContaining(ids));
    expect(report.counts).toMatchObject({ memories: 2, batches: 2, replans: 1, ops: { revise: 2 } });
    await expectEachAppliedOnce(ids);
  });

  it('create the same text: the second becomes evidence of the first, and nobody is asked whether it is the same', async () => {
    const ids = await bench.remember('Ana drinks tea', 'Ana drinks tea');
    meetAt('batch:deduplicated', 2);
    await bench.consolidate({ engine: single });
    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    expect(row?.sources.map((source) => source.id)).toEqual(ids);
    expect(bench.decider.batches).toHaveLength(2);
    expect(bench.decider.pairs).toEqual([]);
    await expectEachAppliedOnce(ids);
  });

  it('create texts that differ in a value: alike as they are, both stay (L9)', async () => {
    const ids = await bench.remember('Ana pays order 1123 with her card', 'Ana pays order 1124 with her card');
    bench.decider.adjudicate_ = () => 'same';
    meetAt('batch:deduplicated', 2);
    await bench.consolidate({ engine: single });
    expect(await liveTexts(bench)).toEqual(['Ana pays order 1123 with her card', 'Ana pays order 1124 with her card']);
    await expectEachAppliedOnce(ids);
  });

  it('of which one supersedes what the other reinforces: the reinforcement is decided again', async () => {
    await bench.remember({ text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    await bench.consolidate();
    await bench.remember('Ana drinks tea indeed', 'Ana drinks coffee now');
    const decided: string[] = [];
    bench.decider.propose_ = (batch) => {
      const [memory] = batch.memories;
      const tea = batch.observations.find((shown) => shown.text === 'Ana drinks tea');
      decided.push(`${memory?.text} / ${batch.observations.map((shown) => shown.text).join()}`);
      if (memory && tea && memory.text === 'Ana drinks tea indeed')
        return [{ op: 'reinforce', target: tea.alias, memories: [memory.alias], reason: 'same' }];
      if (memory && tea)
        return [
          {
            op: 'supersede',
            target: tea.alias,
            as: 'n1',
            text: 'Ana drinks coffee',
            memories: [memory.alias],
            validFrom: new Date('2026-03-09'),
            reason: 'newer',
          },
        ];
      return [{ op: 'skip', memories: [memory?.alias ?? ''], reason: 'no longer so' }];
    };
    const [first = '', second = ''] = (await memories(bench)).slice(1).map((memory) => memory.id);
    const reinforcing = bench.races.hold('apply:before-begin', ({ memoryIds }) => String(memoryIds) === first);
    const superseded = bench.races.hold('apply:after-commit', ({ memoryIds }) => String(memoryIds) === second);
    const slice = bench.consolidate({ engine: single });
    await Promise.all([reinforcing.reached, superseded.reached]);
    reinforcing.release();
    superseded.release();
    await slice;
    expect(decided.at(-1)).toBe('Ana drinks tea indeed / Ana drinks coffee');
    expect((await observation(bench, 'Ana drinks tea')).sources).toHaveLength(1);
    await expectEachAppliedOnce([first, second]);
  });
});

describe('64 batches of one fact', () => {
  const fact = 'The printer is in room 12';

  it('all of which saw nothing, make one observation with 64 sources (L3)', async () => {
    const ids = await bench.remember(...Array.from({ length: 64 }, () => fact));
    meetAt('batch:deduplicated', 64);
    const report = await bench.consolidate({ engine: single });
    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    expect(row?.sources).toHaveLength(64);
    expect(row?.version).toBe(1);
    expect(report.counts).toMatchObject({ memories: 64, batches: 64, ops: { create: 1, reinforce: 63 } });
    expect(bench.logged).toEqual([]);
    await expectEachAppliedOnce(ids);
  });

  it('on two daemons that each took all of them: one observation, each memory applied once (L2)', async () => {
    const ids = await bench.remember(...Array.from({ length: 64 }, () => fact));
    bench.decider.propose_ = reinforceOrCreate;
    meetAt('batch:deduplicated', 128);
    const reports = await Promise.all([
      bench.consolidate({ engine: single }),
      bench.consolidate({ engine: singleBeside }),
    ]);
    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    expect(row?.sources).toHaveLength(64);
    expect(reports.reduce((sum, report) => sum + report.counts.memories, 0)).toBe(64);
    expect(bench.logged).toEqual([]);
    await expectEachAppliedOnce(ids);
  });

  it('reinforce the one that is there, and none of them fails another', async () => {
    await bench.remember(fact);
    await bench.consolidate();
    const ids = await bench.remember(...Array.from({ length: 64 }, () => fact));
    bench.decider.propose_ = reinforceOrCreate;
    meetAt('batch:deduplicated', 64);
    const report = await bench.consolidate({ engine: single });
    expect(report.counts).toMatchObject({ replans: 0, ops: { reinforce: 64 } });
    expect(await observation(bench, fact)).toMatchObject({ version: 1, isLive: true });
    expect((await observation(bench, fact)).sources).toHaveLength(65);
    await expectEachAppliedOnce(ids);
  });
});

describe('a twin found by dedup', () => {
  /** A memory whose text somebody else wrote after it was recalled for; stops after the twin was judged the same. */
  async function judgedSame() {
    // Made first and not due, or the slice, which looks for more while its batch is held, may take them itself.
    const [other = '', spare = ''] = await bench.remember('Somebody else', 'Ana, mate');
    await bench.rows(`update engram.memories set next_attempt_at = now() + interval '1 day' where bank_id = $1`, [
      bench.bankId,
    ]);
    const [id = ''] = await bench.remember('Ana drinks tea');
    const recalled = bench.races.hold('batch:recalled');
    let probes = 0;
    const judged = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    bench.races.at('batch:deduplicated', async () => {
      probes += 1;
      if (probes !== 2) return;
      judged.resolve();
      await goOn.promise;
    });
    const slice = bench.consolidate();
    await recalled.reached;
    await applyOps(bench, [
      {
        op: 'create',
        id: uuid(),
        content: newText('Ana drinks tea'),
        memories: [memoryRef(other)],
        validFrom: null,
        supersededBy: null,
        reason: 'new',
      },
    ]);
    recalled.release();
    await judged.promise;
    return { id, spare, slice, goOn: () => goOn.resolve() };
  }

  it('takes the evidence', async () => {
    const { id, slice, goOn } = await judgedSame();
    goOn();
    await slice;
    expect((await observation(bench, 'Ana drinks tea')).sources.map((source) => source.id)).toContain(id);
  });

  it('and changed before the apply: decided again beside what it says now', async () => {
    const { spare, slice, goOn } = await judgedSame();
    await applyOps(bench, [
      {
        op: 'revise',
        target: await seen(bench, 'Ana drinks tea'),
        content: newText('Ana drinks mate'),
        memories: [memoryRef(spare)],
        replan: null,
        reason: 'changed',
      },
    ]);
    goOn();
    expect((await slice).counts.replans).toBeGreaterThan(0);
    expect(await liveTexts(bench)).toEqual(['Ana drinks mate', 'Ana drinks tea']);
    expect((await observation(bench, 'Ana drinks mate')).sources).toHaveLength(2);
    expect(bench.decider.batches.at(-1)?.observations.map((shown) => shown.text)).toEqual(['Ana drinks mate']);
  });

  it('and gone before the apply: the create it would have been', async () => {
    const { id, slice, goOn } = await judgedSame();
    await applyOps(bench, [
      { op: 'retire', target: await seen(bench, 'Ana drinks tea'), replan: null, wasLive: true, reason: 'wrong' },
    ]);
    goOn();
    await slice;
    const live = (await observations(bench)).filter((row) => row.isLive);
    expect(live).toMatchObject([{ text: 'Ana drinks tea', sources: [{ id, version: 1 }] }]);
  });
});

describe('folds', () => {
  async function abc() {
    await bench.remember('A', 'B', 'C');
    await bench.consolidate();
    return { a: await seen(bench, 'A'), b: await seen(bench, 'B'), c: await seen(bench, 'C') };
  }

  it('A→B after B→C: A is not folded into what is no longer a root, but decided again', async () => {
    const { a, b, c } = await abc();
    await applyOps(bench, [{ op: 'fold', target: b, into: c, reason: 'twins' }]);
    const late = await applyOps(bench, [{ op: 'fold', target: a, into: b, reason: 'twins' }]);
    expect(late.missed.map((miss) => miss.reason)).toEqual(['target_changed']);
    expect(await liveTexts(bench)).toEqual(['A', 'C']);
  });

  it('B→C while A→B commits: the fold that waited sees what was folded into B meanwhile', async () => {
    const { a, b, c } = await abc();
    const first = bench.races.hold('apply:before-commit');
    const intoB = applyOps(bench, [{ op: 'fold', target: a, into: b, reason: 'twins' }]);
    await first.reached;
    const bIntoC = applyOps(bench, [{ op: 'fold', target: b, into: c, reason: 'twins' }]);
    await somebodyWaitsForALock(bench);
    first.release();
    expect((await intoB).applied).toHaveLength(1);
    const second = await bIntoC;
    expect(
      second.missed.map((miss) => miss.reason),
      'decided again with A in view',
    ).toEqual(['target_changed']);
    await applyOps(bench, [{ op: 'fold', target: b, into: c, reason: 'twins' }]);
    const roots = (await observations(bench)).map((row) => row.canonicalId);
    expect(roots).toEqual([c.id, c.id, null]);
  });

  it('and a retirement of their root: nothing is folded into a row that is being retired', async () => {
    const { a, b } = await abc();
    const first = bench.races.hold('apply:before-commit');
    const intoB = applyOps(bench, [{ op: 'fold', target: a, into: b, reason: 'twins' }]);
    await first.reached;
    const retire = applyOps(bench, [{ op: 'retire', target: b, replan: null, wasLive: true, reason: 'wrong' }]);
    await somebodyWaitsForALock(bench);
    first.release();
    await intoB;
    expect((await retire).missed.map((miss) => miss.reason)).toEqual(['target_changed']);
  });
});

describe('contention without end', () => {
  it('leaves the memory pending, due at once and without blame, and the slice takes it up again', async () => {
    await bench.remember('Ana drinks tea');
    await bench.consolidate();
    const [, id] = [0, ...(await bench.remember('Ana drinks green tea'))];
    bench.decider.propose_ = (batch) => [
      {
        op: 'revise',
        target: observationAlias(batch, 'Ana drinks tea'),
        text: 'Ana drinks tea, green tea',
        memories: [memoryAlias(batch, 'Ana drinks green tea')],
        reason: 'fuller',
      },
    ];
    let lost = 0;
    bench.races.at('apply:before-begin', async () => {
      if (lost >= 6) return;
      lost += 1;
      await bench.rows('update engram.observations set version = version + 1 where bank_id = $1', [bench.bankId]);
    });
    const selected: unknown[] = [];
    bench.races.at('batch:selected', async () => {
      selected.push((await memories(bench)).at(-1));
    });
    const report = await bench.consolidate();
    expect(selected).toMatchObject([
      { id, state: 'pending', attempts: 0, isDue: true },
      { id, state: 'pending', attempts: 0, isDue: true },
    ]);
    expect(report.counts).toMatchObject({ memories: 1, batches: 2, replans: 6 });
    expect(await states(bench)).toEqual({ 'Ana drinks tea': 'consolidated', 'Ana drinks green tea': 'consolidated' });
  });
});
