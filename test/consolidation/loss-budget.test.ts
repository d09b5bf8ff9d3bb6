import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProposedOp } from '../../src/consolidation/decider.ts';
import { allowedRetirements } from '../../src/consolidation/loss-budget.ts';
import { changes, memories, observations } from './store-view.ts';
import { createWorkbench, observationAlias, type Workbench } from './workbench.ts';

describe('how many observations may be retired (L18)', () => {
  const allowed = (live: number, retiredByRun: number, retiredIn90Days: number, wanted = 1_000) =>
    allowedRetirements({ live, retiredByRun, retiredIn90Days }, wanted);

  it('is 2 % of what lived before the run, and one in any case', () => {
    expect(allowed(1, 0, 0)).toBe(1);
    expect(allowed(99, 0, 0)).toBe(1);
    expect(allowed(100, 0, 0)).toBe(2);
    expect(allowed(149, 0, 0)).toBe(2);
    expect(allowed(150, 0, 0)).toBe(3);
    expect(allowed(98, 2, 2)).toBe(0);
    expect(allowed(9, 1, 1)).toBe(0);
  });

  it('is 5 % of what lived before the losses of 90 days, however many runs they are spread over', () => {
    expect(allowed(96, 0, 4)).toBe(1);
    expect(allowed(95, 0, 5)).toBe(0);
    expect(allowed(19, 0, 1)).toBe(0);
    expect(allowed(0, 0, 0)).toBe(1);
  });

  it('is no more than wanted, and never more than the larger share, in whatever portions it is asked for', () => {
    const bank = fc.integer({ min: 1, max: 5_000 });
    fc.assert(
      fc.property(bank, fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 30 }), (size, portions) => {
        let live = size;
        let gone = 0;
        for (const wanted of portions) {
          const now = allowed(live, 0, gone, wanted);
          expect(now).toBeLessThanOrEqual(wanted);
          expect(now).toBeGreaterThanOrEqual(0);
          live -= now;
          gone += now;
        }
        expect(gone).toBeLessThanOrEqual(Math.max(1, Math.floor(size * 0.05)));
      }),
    );
  });
});

describe('a bank that loses many sources at once', () => {
  let bench: Workbench;
  beforeAll(async () => {
    bench = await createWorkbench();
  });
  beforeEach(() => bench.freshBank());
  afterAll(() => bench.close());

  async function bankOf(size: number): Promise<string[]> {
    const ids = await bench.remember(...Array.from({ length: size }, (_, n) => `Shelf ${n} holds box ${n * 7}`));
    await bench.consolidate();
    return ids;
  }
  const remove = (ids: readonly string[]) =>
    bench.rows('delete from engram.memories where id = any($1::uuid[])', [ids]);
  const opsOf = async (slice: ReturnType<Workbench['consolidate']>) => {
    const { ops, rejected } = (await slice).counts;
    return { ops, rejected };
  };
  const retired = async () => (await observations(bench)).filter((row) => row.isRetired).length;

  it('retires what the budget allows; the rest is listed as proposed, stays, and is not tried again', async () => {
    const ids = await bankOf(100);
    await remove(ids.slice(0, 10));
    const report = await bench.consolidate();
    expect(report.counts).toMatchObject({ ops: { retire: 2 }, rejected: { 'loss-budget': 8 } });
    expect(await retired()).toBe(2);
    const proposed = (await changes(bench)).filter((change) => change.setStatus === 'proposed');
    expect(proposed).toHaveLength(8);
    expect(proposed[0]).toMatchObject({
      op: 'retire',
      status: 'proposed',
      verdicts: [{ validator: 'loss-budget' }],
      baseVersion: 1,
    });
    expect((await observations(bench)).filter((row) => row.isLive)).toHaveLength(98);

    expect(await opsOf(bench.consolidate())).toEqual({ ops: {}, rejected: {} });
    expect((await changes(bench)).filter((change) => change.setStatus === 'proposed')).toHaveLength(8);

    // Somebody looked at them and said no: they are due again, at one a run by now, until the 5 % of 90 days are spent.
    for (const expected of [3, 4, 5, 5]) {
      await bench.rows(`update engram.change_sets set status = 'rejected' where bank_id = $1 and status = 'proposed'`, [
        bench.bankId,
      ]);
      await bench.consolidate();
      expect(await retired()).toBe(expected);
    }
  });

  it('always may retire one: a small bank is not stuck with a dead observation', async () => {
    const [id = ''] = await bankOf(3);
    await remove([id]);
    await bench.consolidate();
    expect(await retired()).toBe(1);
  });

  it('counts neither folded nor superseded ones', async () => {
    const ids = await bankOf(4);
    const [first, second, third] = await observations(bench);
    await bench.rows('update engram.observations set canonical_id = $2, version = 2 where id = $1', [
      first?.id,
      third?.id,
    ]);
    await bench.rows('update engram.observations set superseded_by = $2, version = 2 where id = $1', [
      second?.id,
      third?.id,
    ]);
    await remove(ids.slice(0, 2));
    expect(await opsOf(bench.consolidate())).toEqual({ ops: { retire: 2 }, rejected: {} });
    await remove(ids.slice(3));
    expect(await opsOf(bench.consolidate()), 'the one that counts').toEqual({ ops: { retire: 1 }, rejected: {} });
  });

  it('keeps a memory whose answer wants too much as proposed: not lost, not tried again', async () => {
    await bankOf(3);
    await bench.remember('No shelf holds a box');
    bench.decider.propose_ = (batch) => [
      // All of them joined by the memory: they stand or fall together (L2).
      ...[0, 1].map(
        (n): ProposedOp => ({
          op: 'conflict',
          target: observationAlias(batch, `Shelf ${n} holds box ${n * 7}`),
          as: `n${n}`,
          text: n === 0 ? 'No shelf holds a box' : 'No shelf holds any box',
          memories: batch.memories.map((memory) => memory.alias),
          validFrom: null,
          reason: 'cannot both be',
        }),
      ),
      { op: 'retire', target: observationAlias(batch, 'Shelf 0 holds box 0'), reason: 'wrong' },
      { op: 'retire', target: observationAlias(batch, 'Shelf 1 holds box 7'), reason: 'wrong' },
    ];
    expect(await opsOf(bench.consolidate())).toEqual({ ops: {}, rejected: { 'loss-budget': 4 } });
    expect(await retired()).toBe(0);
    expect((await memories(bench)).at(-1)).toMatchObject({
      state: 'proposed',
      stateReason: 'loss-budget',
      attempts: 0,
    });
    expect(
      (await changes(bench)).filter((change) => change.setStatus === 'proposed').map((change) => change.op),
    ).toEqual(['conflict', 'conflict', 'retire', 'retire']);
    expect((await bench.consolidate()).counts.batches).toBe(0);
  });
});
