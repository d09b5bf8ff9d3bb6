import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createSnapshotChore, type SnapshotChore } from '../../../src/backup/snapshots/snapshot-chore.ts';
import { snapshotEveryMs } from '../../../src/lifecycle/snapshot-due.ts';
import { listSnapshots } from '../../../src/store/snapshots.ts';
import { createSnapshotsRig, type SnapshotsRig } from './snapshots-rig.ts';

let rig: SnapshotsRig;
let chore: SnapshotChore;
beforeAll(async () => {
  rig = await createSnapshotsRig();
});
beforeEach(async () => {
  await rig.rows('delete from engram.banks');
  chore = createSnapshotChore(rig.deps);
});
afterAll(() => rig.close());

/** As on a server of one's own: whoever writes elsewhere on it makes a snapshot know less than it holds. */
async function run(): Promise<void> {
  await chore.run(new AbortController().signal);
  await rig.rows(
    `update engram.snapshots s set seen_xid = pg_current_xact_id()
     where id = (select id from engram.snapshots l where l.bank_id = s.bank_id order by l.made_xid desc limit 1)`,
  );
}
const triggers = async (bankId: string) => (await listSnapshots(rig.db, bankId)).map(({ trigger }) => trigger);
const nextAt = () => chore.nextAt(new Date());
const freshAt = async () => (await rig.metrics.lastSnapshot.get()).values[0]?.value ?? 0;

it('the timed one is taken with no job in any queue: a single memory, six hours, a tick', async () => {
  const bankId = await rig.bank();
  await rig.remember(bankId, 'nobody consolidates this');
  const [{ made } = { made: new Date(0) }] = await rig.rows<{ made: Date }>(
    'select created_at as made from engram.banks where id = $1',
    [bankId],
  );
  expect(await nextAt()).toEqual(new Date(made.getTime() + snapshotEveryMs));
  await run();
  expect(await triggers(bankId)).toEqual([]);
  await rig.age(bankId, 6);
  expect((await nextAt())?.getTime()).toBeLessThanOrEqual(Date.now());
  await run();
  expect(await triggers(bankId)).toEqual(['time']);
});

it('an unchanged bank takes none, however long, and stays fresh', async () => {
  const bankId = await rig.bank();
  await rig.remember(bankId, 'a memory');
  await rig.age(bankId, 7);
  await run();
  expect(await triggers(bankId)).toEqual(['time']);
  await rig.age(bankId, 1000);
  const before = Date.now() / 1000;
  expect(await nextAt()).toBeNull();
  expect(await freshAt()).toBeGreaterThanOrEqual(before - 0.001);
  await run();
  expect(await triggers(bankId)).toEqual(['time']);
});

it('where there is no bank nothing is due, and all is fresh', async () => {
  expect(await nextAt()).toBeNull();
  expect(await freshAt()).toBeGreaterThan(0);
});

it.each([
  ['a pin', `update engram.memories set pin = 'manual', pinned_at = now() where bank_id = $1`],
  ['an edit', `update engram.memories set text = 'another' where bank_id = $1`],
  ['a deletion', 'delete from engram.memories where bank_id = $1'],
])('%s alone is a change: due six hours after the last one', async (_, sql) => {
  const bankId = await rig.bank();
  await rig.remember(bankId, 'a memory');
  await rig.age(bankId, 7);
  await run();
  expect(await nextAt()).toBeNull();
  await rig.rows(sql, [bankId]);
  expect((await nextAt())?.getTime()).toBeGreaterThan(Date.now());
  await rig.age(bankId, 6);
  expect((await freshAt()) * 1000).toBeLessThanOrEqual(Date.now());
  await run();
  expect(await triggers(bankId)).toEqual(['time', 'time']);
});

it('500 applied changes are enough at any time, 499 are not; counted from the last one', async () => {
  const bankId = await rig.bank();
  await rig.apply(bankId, 499);
  await run();
  expect(await triggers(bankId)).toEqual([]);
  await rig.apply(bankId, 1);
  expect((await nextAt())?.getTime()).toBeLessThanOrEqual(Date.now());
  await run();
  expect(await triggers(bankId)).toEqual(['changes']);
  await rig.apply(bankId, 499);
  await run();
  expect(await triggers(bankId)).toEqual(['changes']);
});

it('each bank is on its own: what is due in one is taken in no other', async () => {
  const [busy, calm] = [await rig.bank(), await rig.bank()];
  await rig.remember(calm, 'a memory');
  await rig.apply(busy, 600);
  await run();
  expect([await triggers(busy), await triggers(calm)]).toEqual([['changes'], []]);
});

it('a clock that was set back takes one and not one a tick', async () => {
  const bankId = await rig.bank();
  await rig.remember(bankId, 'a memory');
  await rig.age(bankId, 7);
  await run();
  await rig.age(bankId, -72);
  await rig.remember(bankId, 'another memory');
  await run();
  await rig.remember(bankId, 'a third memory');
  await run();
  expect(await triggers(bankId)).toEqual(['time', 'time']);
});

it('a bank that fails rests for ten minutes, keeps no other from its turn, and is told', async () => {
  const [broken, whole] = [await rig.bank(), await rig.bank()];
  for (const bankId of [broken, whole]) await rig.apply(bankId, 500);
  rig.races.at('snapshot:before-commit', ({ bankId }) => {
    if (bankId === broken) throw new Error('the disk is full');
  });
  await expect(run()).rejects.toThrow('the disk is full');
  rig.races.clear();
  expect([await triggers(broken), await triggers(whole)]).toEqual([[], ['changes']]);
  const next = await nextAt();
  expect(next?.getTime()).toBeGreaterThan(Date.now() + 9 * 60_000);
  await run();
  expect(await triggers(broken)).toEqual([]);
});
