import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeldConnectionError } from '../../src/db/errors.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { memories } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

describe('no connection waits on a model (L1)', () => {
  let bench: Workbench;
  beforeAll(async () => {
    bench = await createWorkbench({ concurrency: 32, batchMemories: 1 }, { poolMax: 2 });
  });
  afterAll(() => bench.close());

  const violations = async () => (await bench.database.metrics.heldConnectionViolations.get()).values[0]?.value ?? 0;

  it.each(['decider', 'embedder', 'vector search', 'second connection'] as const)(
    'a call of the %s inside a transaction throws and is counted',
    async (what) => {
      const { db } = bench.database;
      const before = await violations();
      const { signal } = new AbortController();
      const batch = { mission: '', memories: [], observations: [], notes: [] };
      const calls: Record<typeof what, () => Promise<unknown>> = {
        decider: () => bench.decider.propose(batch),
        embedder: () => guardedEmbedder(bench.embedder, assertNoLease).embed(['a text'], { purpose: 'query', signal }),
        'vector search': () => bench.vectors.nearest([]),
        'second connection': () => db.query('select 1'),
      };
      const call = calls[what];
      await expect(db.tx({ label: 'held' }, call)).rejects.toThrow(HeldConnectionError);
      expect(await violations()).toBe(before + 1);
      expect(db.poolCounts()).toMatchObject({ used: 0, waiting: 0 });
      await expect(call(), 'outside it is welcome').resolves.toBeDefined();
    },
  );

  it('with a pool of 2 and 32 batches at the decider, no connection is out and a query is answered', async () => {
    await bench.remember(...Array.from({ length: 32 }, (_, index) => `Shelf ${index} holds box ${index * 7}`));
    const all = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let atDecider = 0;
    const { propose_ } = bench.decider;
    bench.decider.propose_ = async (batch) => {
      atDecider += 1;
      if (atDecider === 32) all.resolve();
      await release.promise;
      return propose_(batch);
    };
    const slice = bench.consolidate();
    await all.promise;
    const { db } = bench.database;
    expect(db.poolCounts()).toMatchObject({ used: 0, waiting: 0 });
    expect((await db.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    const idle = await db.query(
      `select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
    );
    expect(idle.rowCount).toBe(0);
    release.resolve();
    expect((await slice).counts.memories).toBe(32);
    expect(new Set((await memories(bench)).map((memory) => memory.state))).toEqual(new Set(['consolidated']));
  });
});
