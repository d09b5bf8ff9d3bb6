import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { lockBank } from '../../src/store/apply-locks.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { somebodyWaitsForALock } from './lock-waits.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const deleteBank = () => bench.rows('delete from engram.banks where id = $1', [bench.bankId]);

/** Rows left of the bank anywhere; its timeline outlives it. */
async function remains(): Promise<string[]> {
  const tables = [
    'memories',
    'observations',
    'observation_sources',
    'scopes',
    'runs',
    'change_sets',
    'change_ops',
    'attempts',
  ];
  const counted = await Promise.all(
    tables.map(async (table) => ({
      table,
      rows: await bench.rows(`select 1 from engram.${table} where bank_id = $1`, [bench.bankId]),
    })),
  );
  return counted.filter(({ rows }) => rows.length > 0).map(({ table }) => table);
}

const duringABatch: RacepointName[] = [
  'slice:started',
  'batch:selected',
  'batch:attempt-recorded',
  'batch:recalled',
  'batch:proposed',
  'batch:deduplicated',
  'apply:before-begin',
];

it.each(duringABatch)('a bank deleted at %s ends the slice, and nothing of it comes back', async (point) => {
  await bench.remember('Ana drinks tea', 'Ben drinks milk');
  let deleted = false;
  bench.races.at(point, async () => {
    if (deleted) return;
    deleted = true;
    await deleteBank();
  });
  const report = await bench.consolidate();
  expect(deleted).toBe(true);
  expect(report.counts.memories).toBe(0);
  expect(report.counts.ops).toEqual({});
  // Gone before anything was begun, there was simply nothing to do.
  expect(report.outcome).toBe(point === 'slice:started' ? 'drained' : 'bank_gone');
  expect(await remains()).toEqual([]);
  expect(bench.logged).toEqual([]);
  expect((await bench.consolidate()).outcome).toBe('bank_gone');
});

it('a bank deleted while an observation of it is being written again: the same', async () => {
  const [id] = await bench.remember('Ana drinks tea');
  await bench.consolidate();
  await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'Ana drinks mate']);
  bench.decider.rewrite_ = async (_, [source = '']) => {
    await deleteBank();
    return source;
  };
  expect((await bench.consolidate()).outcome).toBe('bank_gone');
  expect(await remains()).toEqual([]);
});

it('a bank deleted after the locks were taken waits for the apply, and takes its work along', async () => {
  await bench.remember('Ana drinks tea');
  let deletion: Promise<unknown> | undefined;
  bench.races.at('apply:locked', () => {
    // Not awaited: it can only go on when the apply has committed.
    deletion = deleteFromOutside();
  });
  const report = await bench.consolidate();
  await deletion;
  expect(report.counts.memories).toBe(1);
  expect(await remains()).toEqual([]);
});

it('a bank whose lock is held cannot go, and one that is gone cannot be locked', async () => {
  const { db } = bench.database;
  const locked = Promise.withResolvers<boolean>();
  const release = Promise.withResolvers<void>();
  const apply = db.tx({ label: 'apply' }, async (tx) => {
    locked.resolve(await lockBank(tx, bench.bankId, 'shared'));
    await release.promise;
  });
  expect(await locked.promise).toBe(true);
  const deletion = deleteFromOutside();
  await somebodyWaitsForALock(bench);
  release.resolve();
  await apply;
  await deletion;
  expect(await db.tx({ label: 'apply' }, (tx) => lockBank(tx, bench.bankId, 'shared'))).toBe(false);
});

/** From a connection that no transaction of the engine holds. */
async function deleteFromOutside(): Promise<void> {
  await withAdmin(bench.database.connectionString, (admin) =>
    admin.query('delete from engram.banks where id = $1', [bench.bankId]),
  );
}
