import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, type Database, type TxOptions } from '../../src/db/database.ts';
import { type DirectSession, openDirectSession } from '../../src/db/direct-session.ts';
import { RestoreUnderWayError, StoreReplacedError } from '../../src/db/errors.ts';
import { tryHoldStore, tryShareStore, whoSharesStore } from '../../src/db/store-lock.ts';
import { admitToStore, readStoreEpoch } from '../../src/store/store-epoch.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** `database.db` was never pinned: the bystander, who may do anything. */
let database: TestDatabase;
let db: Database;
let sessions: DirectSession[];
let told: StoreReplacedError[];
beforeEach(async () => {
  database = await createTestDatabase();
  db = createDatabase({
    connectionString: database.connectionString,
    poolMax: 3,
    applicationName: 'engramd-test-pinned',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  sessions = [];
  told = [];
  db.pinStore(await readStoreEpoch(db), (error) => told.push(error));
});
afterEach(async () => {
  await Promise.all(sessions.map((session) => session.close()));
  await db.close();
  await database.drop();
});

async function open(applicationName = 'engramd-test-session'): Promise<DirectSession> {
  const session = await openDirectSession({ connectionString: database.connectionString, applicationName });
  sessions.push(session);
  return session;
}

const replaced = () => database.db.query('update engram.store set epoch = epoch + 1');

const addBank = (on: Database, id: string, options: Partial<TxOptions> = {}) =>
  on.tx({ label: 'test', ...options }, (tx) => tx.query('insert into engram.banks (id) values ($1)', [id]));

const bankIds = async () =>
  (await database.db.query<{ id: string }>('select id from engram.banks order by id')).rows.map(({ id }) => id);

async function somebodyWaits(): Promise<void> {
  await expect
    .poll(async () => {
      const { rows } = await database.db.query<{ n: number }>(
        `select count(*)::int as n from pg_locks
         where not granted and database = (select oid from pg_database where datname = current_database())`,
      );
      return rows[0]?.n;
    })
    .toBeGreaterThan(0);
}

describe('what is written', () => {
  test('goes to the store of the epoch that the process began with', async () => {
    await addBank(db, 'a');
    expect(await bankIds()).toEqual(['a']);
    expect(told).toEqual([]);
  });

  test('goes nowhere once the store was replaced, and who is to know is told once', async () => {
    await replaced();
    for (const isolation of ['read committed', 'repeatable read'] as const) {
      await expect(addBank(db, 'a', { isolation })).rejects.toThrow(StoreReplacedError);
    }
    expect(await bankIds()).toEqual([]);
    expect(told).toMatchObject([{ code: 'STORE_REPLACED', exitCode: 4, retryable: false }]);
  });

  test('by a statement outside of any transaction goes nowhere either', async () => {
    const add = (id: string) => db.query('insert into engram.banks (id) values ($1)', [id]);
    expect((await add('a')).rowCount).toBe(1);
    await replaced();
    await expect(add('b')).rejects.toThrow(StoreReplacedError);
    await expect(db.query(`with old as (delete from engram.banks returning 1) select * from old`)).rejects.toThrow(
      StoreReplacedError,
    );
    expect(await bankIds()).toEqual(['a']);
    expect(told).toHaveLength(1);
  });

  test('and nothing else: reading goes on, and whoever began with no store writes', async () => {
    await replaced();
    expect(await db.tx({ label: 'test', readOnly: true }, readStoreEpoch)).toBe(2);
    await addBank(database.db, 'a');
    expect(await bankIds()).toEqual(['a']);
  });

  test('while a restore takes long is refused as such, and may be tried again', async () => {
    // What the server says when a lock is not to be had in time, without the twenty seconds.
    await database.db.query(
      `create or replace function engram.hold_store(expected bigint) returns void language plpgsql as $$
       begin raise exception 'canceling statement due to lock timeout' using errcode = '55P03'; end $$`,
    );
    await expect(addBank(db, 'a')).rejects.toThrow(RestoreUnderWayError);
    await expect(addBank(db, 'a')).rejects.toMatchObject({ exitCode: 4, retryable: true });
    expect(told).toEqual([]);
  });
});

describe.each(['read committed', 'repeatable read'] as const)('a transaction (%s) and a restore', (isolation) => {
  test('that is first: the transaction waits for its commit and then writes nothing', async () => {
    const restore = await open();
    await restore.query('begin');
    await restore.query('lock table engram.store in access exclusive mode');
    const adding = addBank(db, 'late', { isolation });
    const failing = expect(adding).rejects.toThrow(StoreReplacedError);
    await somebodyWaits();
    await restore.query('update engram.store set epoch = epoch + 1');
    await restore.query('commit');
    await failing;
    expect(await bankIds()).toEqual([]);
  });

  test('that is first and makes another table of it: the same', async () => {
    const restore = await open();
    await restore.query('begin');
    await restore.query('lock table engram.store in access exclusive mode');
    const failing = expect(addBank(db, 'late', { isolation })).rejects.toThrow(StoreReplacedError);
    await somebodyWaits();
    await restore.script(
      `drop table engram.store; create table engram.store (epoch bigint not null); insert into engram.store values (9)`,
    );
    await restore.query('commit');
    await failing;
    expect(await bankIds()).toEqual([]);
  });

  test('that comes second: it waits for the end of the transaction, and sees all of it', async () => {
    const restore = await open();
    const [begun, waitedFor] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const adding = db.tx({ label: 'test', isolation }, async (tx) => {
      begun.resolve();
      await waitedFor.promise;
      await tx.query(`insert into engram.banks (id) values ('early')`);
    });
    await begun.promise;
    await restore.query('begin');
    const locking = restore.query('lock table engram.store in access exclusive mode');
    await somebodyWaits();
    waitedFor.resolve();
    await Promise.all([adding, locking]);
    expect((await restore.query<{ id: string }>('select id from engram.banks')).rows).toEqual([{ id: 'early' }]);
    await restore.query('rollback');
  });
});

describe('the store', () => {
  test('is shared by those who work on it, held by one alone, and each keeps the other off', async () => {
    const [first, second, alone] = [await open('engramd listen'), await open('engramd listen'), await open()];
    expect([await tryShareStore(first), await tryShareStore(second), await tryHoldStore(alone)]).toEqual([
      true,
      true,
      false,
    ]);
    expect(await whoSharesStore(alone)).toMatchObject([
      { applicationName: 'engramd listen' },
      { applicationName: 'engramd listen' },
    ]);
    await first.close();
    await second.close();
    await expect.poll(() => tryHoldStore(alone)).toBe(true);
    expect(await tryShareStore(await open())).toBe(false);
    expect(await whoSharesStore(alone)).toEqual([]);
  });

  test('admits a session of its epoch, which from then on keeps restores off', async () => {
    const session = await open();
    expect(await admitToStore(session, 1)).toBeNull();
    expect(await tryHoldStore(await open())).toBe(false);
  });

  test('admits nobody during a restore, and nobody of an epoch before it', async () => {
    const restore = await open();
    expect(await tryHoldStore(restore)).toBe(true);
    expect(await admitToStore(await open(), 1)).toBeInstanceOf(RestoreUnderWayError);
    await replaced();
    await restore.close();
    await expect.poll(async () => admitToStore(await open(), 1)).toBeInstanceOf(StoreReplacedError);
  });
});
