import { afterAll, beforeAll, expect, it } from 'vitest';
import { takeSnapshot } from '../../../src/backup/snapshots/snapshots.ts';
import { listSnapshots } from '../../../src/store/snapshots.ts';
import { createSnapshotsRig, type SnapshotsRig } from './snapshots-rig.ts';

let rig: SnapshotsRig;
beforeAll(async () => {
  rig = await createSnapshotsRig();
});
afterAll(() => rig.close());

const take = (bankId: string) => takeSnapshot(rig.deps, { bankId, trigger: 'asked' });
const rowsOf = (id: string) =>
  rig.rows<{ row_id: string; version: number; state: string; pin: string | null }>(
    'select row_id, version, state, pin from engram.snapshot_rows where snapshot_id = $1 order by row_id',
    [id],
  );

it('four writers at work: a snapshot is one state of the bank, and none of them waits for it', async () => {
  const bankId = await rig.bank();
  const pairs = await Promise.all([1, 2, 3, 4].map((n) => rig.remember(bankId, `left ${n}`, `right ${n}`)));
  let isOver = false;
  let written = 0;
  const writers = pairs.map(async (ids) => {
    // Both or none: in one state of the bank, both are of one version.
    while (!isOver) {
      await rig.db.tx({ label: 'test' }, async (tx) => {
        for (const id of ids) {
          await tx.query(`update engram.memories set text = text || '.' where bank_id = $1 and id = $2`, [bankId, id]);
        }
      });
      written += 1;
    }
  });
  // Held before its commit, so that the writers are known to get past it.
  const hold = rig.races.hold('snapshot:before-commit', (detail) => detail.bankId === bankId);
  const first = take(bankId);
  await hold.reached;
  const before = written;
  while (written < before + 8) await new Promise(setImmediate);
  hold.release();
  const taken = [await first];
  for (let n = 0; n < 6; n += 1) taken.push(await take(bankId));
  isOver = true;
  await Promise.all(writers);
  for (const { snapshot } of taken.slice(-3)) {
    const versions = new Map((await rowsOf(snapshot.id)).map((row) => [row.row_id, row.version]));
    expect(versions.size).toBe(8);
    for (const [left = '', right = ''] of pairs) expect(versions.get(left)).toBe(versions.get(right));
  }
  rig.races.clear();
});

it('says at which change it is, what it holds by state, and what is pinned', async () => {
  const bankId = await rig.bank();
  expect((await take(bankId)).snapshot).toMatchObject({
    appliedNo: 0,
    trigger: 'asked',
    counts: { memories: {}, observations: {}, pinned: 0 },
  });
  const [kept, gone] = await rig.remember(bankId, 'Mara likes paper', 'Ana likes tea');
  await rig.apply(bankId, 3);
  await rig.rows(`update engram.memories set pin = 'manual', pinned_at = now() where id = $1`, [kept]);
  await rig.rows('update engram.memories set invalidated_at = now() where id = $1', [gone]);
  const { snapshot } = await take(bankId);
  const [{ top } = { top: 0 }] = await rig.rows<{ top: number }>(
    'select max(applied_no) as top from engram.change_ops where bank_id = $1',
    [bankId],
  );
  expect(snapshot).toMatchObject({
    appliedNo: top,
    counts: { memories: { pending: 1, invalidated: 1 }, observations: {}, pinned: 1 },
  });
  expect(await rowsOf(snapshot.id)).toEqual([
    { row_id: kept, version: 1, state: 'pending', pin: 'manual' },
    { row_id: gone, version: 2, state: 'invalidated', pin: null },
  ]);
});

it('keeps as many as it is told, the new one among them, though a clock was set back', async () => {
  const bankId = await rig.bank();
  const taken: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    await rig.remember(bankId, `memory ${n}`);
    // Each is older than the one before it, by the clock.
    await rig.rows(`update engram.snapshots set made_at = made_at + interval '1 day' where bank_id = $1`, [bankId]);
    const { snapshot, pruned } = await take(bankId);
    expect(pruned).toEqual(n < 3 ? [] : [taken[n - 3]]);
    taken.push(snapshot.id);
  }
  expect((await listSnapshots(rig.db, bankId)).map(({ id }) => id)).toEqual(taken.slice(2).reverse());
  expect(
    await rig.rows('select distinct snapshot_id from engram.snapshot_rows where bank_id = $1', [bankId]),
  ).toHaveLength(3);
});

it('one that fails before its commit leaves the old ones, and is counted', async () => {
  const bankId = await rig.bank();
  for (let n = 0; n < 3; n += 1) await take(bankId);
  const before = await listSnapshots(rig.db, bankId);
  rig.races.at('snapshot:before-commit', () => {
    throw new Error('no more');
  });
  await expect(take(bankId)).rejects.toThrow('no more');
  rig.races.clear();
  expect(await listSnapshots(rig.db, bankId)).toEqual(before);
  const { values } = await rig.metrics.snapshots.get();
  expect(values.find(({ labels }) => labels.outcome === 'failed')?.value).toBe(1);
});

it('a bank that is not there has no snapshot taken of it', async () => {
  await expect(take('nowhere')).rejects.toThrow('there is no bank "nowhere"');
});

it('what is deleted leaves every snapshot, and one that is being taken as well', async () => {
  const bankId = await rig.bank();
  const [kept = '', gone = ''] = await rig.remember(bankId, 'kept', 'gone');
  const { snapshot: earlier } = await take(bankId);
  const hold = rig.races.hold('snapshot:before-commit', (detail) => detail.bankId === bankId);
  const taking = take(bankId);
  await hold.reached;
  const deleting = rig.rows('delete from engram.memories where bank_id = $1 and id = $2', [bankId, gone]);
  await lockWaiters(1);
  hold.release();
  const { snapshot } = await taking;
  await deleting;
  for (const { id } of [earlier, snapshot]) expect((await rowsOf(id)).map((row) => row.row_id)).toEqual([kept]);
  rig.races.clear();
});

it('waits for a deletion that is under way, and does not have what it took', async () => {
  const bankId = await rig.bank();
  const [kept = '', gone = ''] = await rig.remember(bankId, 'kept', 'gone');
  const held = Promise.withResolvers<void>();
  const deleted = Promise.withResolvers<void>();
  const deleting = rig.db.tx({ label: 'test' }, async (tx) => {
    await tx.query('delete from engram.memories where bank_id = $1 and id = $2', [bankId, gone]);
    deleted.resolve();
    await held.promise;
  });
  await deleted.promise;
  const taking = take(bankId);
  await lockWaiters(1);
  held.resolve();
  await deleting;
  expect((await rowsOf((await taking).snapshot.id)).map((row) => row.row_id)).toEqual([kept]);
});

it('goes with its bank, also while one is being taken', async () => {
  const bankId = await rig.bank();
  await rig.remember(bankId, 'a memory');
  await take(bankId);
  const hold = rig.races.hold('snapshot:before-commit', (detail) => detail.bankId === bankId);
  const taking = take(bankId);
  await hold.reached;
  const deleting = rig.rows('delete from engram.banks where id = $1', [bankId]);
  await lockWaiters(1);
  hold.release();
  await Promise.all([taking, deleting]);
  expect(await rig.rows('select from engram.snapshot_rows where bank_id = $1', [bankId])).toEqual([]);
  rig.races.clear();
});

/** Until so many connections of this database wait for a lock. */
async function lockWaiters(count: number): Promise<void> {
  for (;;) {
    const waiting = await rig.rows(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (waiting.length >= count) return;
  }
}
