import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BackupElsewhereError, BackupNotFoundError } from '../../src/backup/backup-errors.ts';
import { backupName } from '../../src/backup/backup-folder.ts';
import type { BackupStanding, Backups, StoredBackup } from '../../src/backup/backup-store.ts';
import { chooseToRestore, chooseToVerify } from '../../src/backup/choose-backup.ts';
import { assertOneDatabase } from '../../src/backup/one-database.ts';
import { databaseLabel } from '../../src/backup/ownership.ts';
import { readStoreId, type StoreOrigin } from '../../src/store/store-origin.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { type BackupsRig, createBackupsRig, differs, remember, work } from './backups-rig.ts';

let rig: BackupsRig;
let other: TestDatabase;
let others: Backups;
beforeAll(async () => {
  rig = await createBackupsRig();
  other = await createTestDatabase({ poolMax: 6 });
  await other.db.query('update engram.store set id = gen_random_uuid()');
  await other.db.query(`insert into engram.banks (id) values ('theirs')`);
});
beforeEach(async () => {
  await rig.reset();
  await other.db.query('delete from engram.backups');
  others = rig.with({ connectionString: other.connectionString, db: other.db, keep: 1, racepoints: inertRacepoints });
});
afterAll(async () => {
  await rig.close();
  await other.drop();
});

async function taken(backups: Backups): Promise<string> {
  const outcome = await backups.take({ trigger: 'asked', force: true, ...work });
  if (outcome.kind !== 'verified') throw new Error(outcome.kind);
  return outcome.backup.name;
}

/** By one while the other is at its own. */
async function takenBesideAnother(): Promise<void> {
  const hold = rig.races.hold('backup:before-manifest');
  const taking = rig.take();
  await hold.reached;
  await taken(others);
  hold.release();
  expect(await taking).toMatchObject({ kind: 'verified' });
  expect(rig.names()).toHaveLength(2);
}

describe('two databases with one backup directory', () => {
  test('neither prunes what the other took, and the list tells them apart', async () => {
    const mine = [await taken(rig.backups), await taken(rig.backups)];
    const theirs = [await taken(others), await taken(others)];
    expect(rig.names()).toEqual([...mine, theirs[1]].toSorted());
    const stores = new Map((await rig.backups.list()).map(({ name, store }) => [name, store]));
    expect(stores.get(mine[0] ?? '')).toBe(await readStoreId(rig.database.db));
    expect(stores.get(theirs[1] ?? '')).toBe(await readStoreId(other.db));
  });

  test('what one is at is no leftover to the other', takenBesideAnother);

  test('unchanged is what has changed nothing since its own last one', async () => {
    await taken(rig.backups);
    await taken(others);
    expect(await rig.take()).toMatchObject({ kind: 'unchanged' });
    await remember(rig, 'more');
    expect(await rig.take()).toMatchObject({ kind: 'verified' });
    expect(await rig.take(others)).toMatchObject({ kind: 'unchanged' });
  });

  test('without a name each verifies its own; by its name that of the other', async () => {
    const mine = await taken(rig.backups);
    const theirs = await taken(others);
    expect(await rig.backups.verify({ name: null, ...work })).toMatchObject({ name: mine });
    expect(await rig.backups.verify({ name: theirs, ...work })).toMatchObject({ name: theirs, standing: 'verified' });
    await rig.reset();
    await taken(others);
    await expect(rig.backups.verify({ name: null, ...work })).rejects.toThrow(BackupNotFoundError);
  });

  test('both in one second, with ids of one minute: two names', () => {
    const at = new Date();
    expect(backupName(at, uuid(), null)).not.toBe(backupName(at, uuid(), null));
  });
});

/** As after a drill in the other database, or a move to it. */
describe('two databases with one store, and one backup directory', () => {
  let theirStore: string;
  beforeAll(async () => {
    theirStore = await readStoreId(other.db);
    await other.db.query('update engram.store set id = $1', [await readStoreId(rig.database.db)]);
  });
  afterAll(() => other.db.query('update engram.store set id = $1', [theirStore]));

  test('neither prunes what the other took, good or bad', async () => {
    const mine = [await taken(rig.backups), await taken(rig.backups)];
    rig.failure = differs;
    for (let failed = 0; failed < 3; failed += 1) await expect(taken(rig.backups)).rejects.toThrow(differs);
    rig.failure = null;
    const before = rig.names();
    expect(before.length).toBeGreaterThan(mine.length);
    const theirs = [await taken(others), await taken(others)];
    expect(rig.names()).toEqual([...before, theirs[1]].toSorted());
    expect(new Set((await rig.backups.list()).map(databaseLabel)).size).toBe(2);
  });

  test('what one is at is no leftover to the other', takenBesideAnother);

  test('unchanged is what has changed nothing since its own last one, and each verifies its own', async () => {
    const mine = await taken(rig.backups);
    const theirs = await taken(others);
    expect(await rig.take()).toMatchObject({ kind: 'unchanged' });
    expect(await rig.take(others)).toMatchObject({ kind: 'unchanged' });
    expect(await rig.backups.verify({ name: null, ...work })).toMatchObject({ name: mine });
    expect(await others.verify({ name: null, ...work })).toMatchObject({ name: theirs });
    expect(await rig.backups.verify({ name: theirs, ...work })).toMatchObject({ name: theirs, standing: 'verified' });
  });
});

describe('DATABASE_DIRECT_URL leads to another database', () => {
  test('none is taken or verified, both settings are named, and a row tells of it', async () => {
    const backups = rig.with({ connectionString: other.connectionString });
    await expect(rig.take(backups)).rejects.toThrow(BackupElsewhereError);
    await expect(backups.verify({ name: null, ...work })).rejects.toThrow(/DATABASE_DIRECT_URL.*DATABASE_URL/);
    expect(await rig.backups.list()).toEqual([]);
    expect(await rig.rows()).toMatchObject([{ status: 'failed', error_code: 'BACKUP_ELSEWHERE' }]);
  });

  test('also one that is a clone, and one that engramd has never seen', async () => {
    const { db, connectionString } = rig.database;
    await expect(assertOneDatabase(db, connectionString)).resolves.toBeUndefined();
    const store = await readStoreId(other.db);
    await other.db.query('update engram.store set id = $1', [await readStoreId(db)]);
    await expect(assertOneDatabase(db, other.connectionString)).rejects.toThrow(BackupElsewhereError);
    await other.db.query('update engram.store set id = $1', [store]);
    const url = new URL(connectionString);
    url.pathname = '/postgres';
    await expect(assertOneDatabase(db, url.href)).rejects.toThrow(BackupElsewhereError);
  });
});

const origin: StoreOrigin = { clusterId: '7', databaseOid: '16384' };
const elsewhere: StoreOrigin = { ...origin, clusterId: '8' };

const backup = (
  name: string,
  store: string | null,
  standing: BackupStanding = 'verified',
  takenOf: StoreOrigin = origin,
): StoredBackup => ({
  name,
  store,
  origin: takenOf,
  standing,
  manifest: null,
  problem: null,
  verifiedAt: null,
  checkedAt: null,
  bytes: 0,
});

describe('which backup a command means that names none', () => {
  const directory = '/backups';
  const ours = (isEmpty: boolean) => ({ store: 'ours', origin, isEmpty, directory });

  test('the newest verified one of its own, also in an empty database', () => {
    const list = [backup('4', 'theirs'), backup('3', 'ours', 'damaged'), backup('2', 'ours'), backup('1', 'ours')];
    expect(chooseToRestore(list, ours(false)).name).toBe('2');
    expect(chooseToRestore(list, ours(true)).name).toBe('2');
    expect(chooseToVerify(list, { store: 'ours', origin, directory }).name).toBe('2');
  });

  test('for a database that holds nothing, that of the only other', () => {
    const list = [backup('3', 'theirs', 'unverified'), backup('2', 'theirs'), backup('1', 'theirs')];
    expect(chooseToRestore(list, ours(true)).name).toBe('2');
    expect(chooseToRestore(list, { store: null, origin, isEmpty: true, directory }).name).toBe('2');
    expect(() => chooseToRestore(list, ours(false))).toThrow(/is of this database.*other database: 2$/);
  });

  test('none of another database that holds the same store', () => {
    const list = [backup('3', 'ours', 'verified', elsewhere), backup('2', 'ours'), backup('1', 'ours')];
    expect(chooseToRestore(list, ours(false)).name).toBe('2');
    expect(chooseToVerify(list, { store: 'ours', origin, directory }).name).toBe('2');
    const others = list.slice(0, 1);
    expect(chooseToRestore(others, ours(true)).name).toBe('3');
    expect(() => chooseToRestore(others, ours(false))).toThrow(/is of this database.*other database: 3$/);
    expect(() => chooseToRestore(list, { store: null, origin: elsewhere, isEmpty: true, directory })).toThrow(
      /: 3, 2$/,
    );
  });

  test('of several others none: they are named', () => {
    const list = [backup('3', 'a'), backup('2', 'b'), backup('1', 'a')];
    expect(() => chooseToRestore(list, ours(true))).toThrow(/Name the one to restore.*: 3, 2$/);
  });

  test('none that was verified, or none at all', () => {
    expect(() => chooseToRestore([backup('1', 'ours', 'unverified')], ours(true))).toThrow(
      /ever restored and compared/,
    );
    expect(() => chooseToRestore([], ours(true))).toThrow(/there is no backup in \/backups/);
  });

  test('to be verified: what cannot be read only where there is nothing else', () => {
    const list = [backup('2', 'ours', 'unreadable'), backup('1', 'ours', 'unverified')];
    expect(chooseToVerify(list, { store: 'ours', origin, directory }).name).toBe('1');
    expect(chooseToVerify(list.slice(0, 1), { store: 'ours', origin, directory }).name).toBe('2');
  });
});
