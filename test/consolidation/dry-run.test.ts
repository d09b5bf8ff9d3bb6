import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createWorkbench, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const { signal } = new AbortController();

/** Every row of the bank, and every transaction id that wrote one. */
async function everything(): Promise<unknown> {
  const tables = ['memories', 'observations', 'observation_sources', 'runs', 'change_sets', 'attempts', 'events'];
  return Promise.all(
    tables.map((table) =>
      bench.rows(`select t::text, xmin::text from engram.${table} t where bank_id = $1 order by 1`, [bench.bankId]),
    ),
  );
}

describe('a dry run', () => {
  it('tells what would be done, in words, and writes nothing', async () => {
    await bench.remember({ text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    await bench.consolidate();
    await bench.remember('Ana drinks coffee', { text: 'Hm', unembedded: true });
    bench.decider.propose_ = (batch) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana drinks coffee',
        memories: [batch.memories[0]?.alias ?? ''],
        validFrom: new Date('2026-03-02'),
        reason: 'newer',
      },
      { op: 'fold', target: 'o9', into: 'n1', reason: 'no such thing' },
      { op: 'skip', memories: [batch.memories[1]?.alias ?? ''], reason: 'says nothing' },
    ];
    const before = await everything();
    expect(await bench.engine.dryRun(bench.bankId, { signal })).toEqual({
      memories: 2,
      ops: [
        {
          op: 'supersede',
          before: 'Ana drinks tea',
          after: 'Ana drinks coffee',
          sources: ['Ana drinks coffee'],
          reason: 'newer',
        },
        { op: 'skip', before: null, after: null, sources: ['Hm'], reason: 'says nothing' },
      ],
      rejected: [{ validator: 'alias-in-range', reason: 'no observation o9 was shown or created before' }],
      undecided: [],
      calls: 0,
      costUsd: 0,
    });
    expect(await everything()).toEqual(before);
  });

  it('looks at no more memories than it is asked to, and at none where there is no bank', async () => {
    await bench.remember('one', 'two', 'three');
    expect((await bench.engine.dryRun(bench.bankId, { signal, limit: 2 })).memories).toBe(2);
    expect(await bench.engine.dryRun('no such bank', { signal })).toEqual({
      memories: 0,
      ops: [],
      rejected: [],
      undecided: [],
      calls: 0,
      costUsd: 0,
    });
  });
});
