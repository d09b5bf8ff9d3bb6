import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { type HeldState, hasChangedSince, hasNewRows } from '../../src/store/changed-since.ts';
import { readStoreOrigin } from '../../src/store/store-origin.ts';
import { type BackupsRig, createBackupsRig, remember, work } from './backups-rig.ts';
import { idOf } from './seeded-store.ts';

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
beforeEach(() => rig.reset());
afterAll(() => rig.close());

const kind = async () => (await rig.take()).kind;

test('an unchanged store takes none: the files stand, and a row says when it was looked at', async () => {
  const first = await rig.take();
  if (first.kind !== 'verified') throw new Error(first.kind);
  const second = await rig.take();
  expect(second).toEqual({ kind: 'unchanged', since: new Date(first.backup.manifest?.snapshotAt ?? '') });
  expect(rig.names()).toEqual([first.backup.name]);
  expect(await rig.rows()).toMatchObject([{ status: 'verified' }, { status: 'unchanged', folder: null }]);
  expect((await rig.backups.take({ trigger: 'asked', force: true, ...work })).kind).toBe('verified');
});

const changes: Record<string, (sql: (text: string) => Promise<unknown>) => Promise<unknown>> = {
  'a new memory': () => remember(rig, 'new'),
  'an edit': (sql) => sql(`update engram.memories set text = text || '!' where id = '${idOf('1', 2)}'`),
  'a deleted memory': (sql) =>
    sql(`delete from engram.memories where id = (select max(id::text)::uuid from engram.memories)`),
  'an observation': (sql) => sql(`update engram.observations set text = text || '!'`),
  'a deleted observation': (sql) =>
    sql(`delete from engram.observations where id = (select max(id::text)::uuid from engram.observations)`),
  'an event': (sql) => sql(`insert into engram.events (bank_id, kind) values ('bank-1', 'test')`),
  'a new bank': (sql) => sql(`insert into engram.banks (id) values ('new')`),
  'a mission': (sql) => sql(`update engram.banks set mission = mission || '!' where id = 'bank-1'`),
  'a deleted bank': (sql) => sql(`delete from engram.banks where id = 'new'`),
  'a restore': (sql) => sql('update engram.store set epoch = epoch + 1'),
};

async function heldNow(): Promise<HeldState> {
  const { db } = rig.database;
  const { rows } = await db.query<Omit<HeldState, 'origin'>>(
    `select pg_snapshot_xmin(pg_current_snapshot())::text as "seenXid", (select epoch from engram.store) as epoch,
       (select count(*) from engram.banks) as banks`,
  );
  if (!rows[0]) throw new Error('no row');
  return { ...rows[0], origin: await readStoreOrigin(db) };
}

test.for(Object.entries(changes))('%s is a change', async ([, change]) => {
  const { db } = rig.database;
  const held = await heldNow();
  expect(await hasChangedSince(db, held)).toBe(false);
  await change((text) => db.query(text));
  expect(await hasChangedSince(db, held)).toBe(true);
});

test('what the daemon notes of itself is none', async () => {
  const { db } = rig.database;
  const held = await heldNow();
  await db.query('update engram.instances set seen_at = now()');
  await db.query('update engram.sleep_cycles set touched_at = now()');
  expect(await hasChangedSince(db, held)).toBe(false);
});

test('a transaction that was under way at the snapshot and commits after it is a change', async () => {
  const { db } = rig.database;
  const begun = Promise.withResolvers<void>();
  const late = Promise.withResolvers<void>();
  const writing = db.tx({ label: 'test' }, async (tx) => {
    await tx.query(`update engram.memories set context = 'late' where id = '${idOf('1', 3)}'`);
    begun.resolve();
    await late.promise;
  });
  await begun.promise;
  // The newest transaction id that the snapshot knows is a later one.
  await db.query('select pg_current_xact_id()');
  await rig.take();
  expect(await kind()).toBe('unchanged');
  late.resolve();
  await writing;
  expect(await kind()).toBe('verified');
});

test('a database that does not know the backup is no judge of it: its transaction ids are others', async () => {
  await rig.take();
  await rig.database.db.query('delete from engram.backups');
  expect(await kind()).toBe('verified');
});

test.for([
  ['another cluster, which a dump was restored into', { clusterId: '1' }],
  ['another database', { databaseOid: '1' }],
  ['a cluster that nobody may know', { clusterId: null }],
] as const)('transaction ids of %s tell nothing: a change', async ([, other]) => {
  const held = await heldNow();
  expect(held.origin).toEqual({
    clusterId: expect.stringMatching(/^\d+$/),
    databaseOid: expect.stringMatching(/^\d+$/),
  });
  expect(await hasChangedSince(rig.database.db, held)).toBe(false);
  expect(await hasChangedSince(rig.database.db, { ...held, origin: { ...held.origin, ...other } })).toBe(true);
});

test('a backup that has seen transaction ids which are yet to come: the cluster was set back, a change', async () => {
  const held = await heldNow();
  const seenXid = String(BigInt(held.seenXid) + 5_000_000n);
  expect(await hasChangedSince(rig.database.db, { ...held, seenXid })).toBe(true);
});

test('a role without privileges may ask a cluster for its id', async () => {
  const { db, connectionString } = rig.database;
  const role = `plain_${uuid().replaceAll('-', '')}`;
  const session = await openDirectSession({ connectionString, applicationName: 'test' });
  try {
    await session.script(`begin; create role ${role}; set local role ${role}`);
    expect(await readStoreOrigin(session)).toEqual(await readStoreOrigin(db));
    await session.script('reset role; revoke execute on function pg_control_system() from public');
    await session.script(`set local role ${role}`);
    expect(await readStoreOrigin(session)).toMatchObject({ clusterId: null });
  } finally {
    await session.close();
  }
});

test('files that are damaged or gone are no backup of an unchanged store', async () => {
  const first = await rig.take();
  if (first.kind !== 'verified') throw new Error(first.kind);
  rig.failure = new Error('the server went away');
  await expect(rig.backups.take({ trigger: 'asked', force: true, ...work })).rejects.toThrow('went away');
  rig.failure = null;
  expect(await kind()).toBe('unchanged');
  await rig.reset();
  expect(await kind()).toBe('verified');
});

test('transaction ids beyond 32 bits are compared as the server compares them', async () => {
  const { db } = rig.database;
  const { rows } = await db.query<{ xmin: string }>('select max(xmin::text::bigint)::text as xmin from engram.banks');
  const { epoch, banks } = await heldNow();
  const later = 3n * 2n ** 32n + BigInt(rows[0]?.xmin ?? 0) + 1n;
  expect(await hasNewRows(db, { epoch, banks, seenXid: String(later) })).toBe(false);
  expect(await hasNewRows(db, { epoch, banks, seenXid: String(later - 1n) })).toBe(true);
});
