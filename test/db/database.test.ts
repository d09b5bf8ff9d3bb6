import { AsyncResource } from 'node:async_hooks';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type Database, type DatabaseOptions } from '../../src/db/database.ts';
import {
  DatabaseClosedError,
  HeldConnectionError,
  isConnectionFailure,
  sqlState,
  TransactionAbortedError,
  TransactionOverError,
} from '../../src/db/errors.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** `database.db` is the bystander: it looks, and ends the sessions of the database under test. */
let database: TestDatabase;
let opened: Database[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  await database.db.query('create table public.counters (name text primary key, n int not null)');
});
afterEach(async () => {
  await Promise.all(opened.map((db) => db.close()));
  opened = [];
  await database.db.query('truncate public.counters');
});
afterAll(() => database.drop());

const applicationName = 'engramd-test-subject';

function open(options: Partial<DatabaseOptions> = {}): { db: Database; metrics: Metrics } {
  const metrics = createMetrics();
  const db = createDatabase({
    connectionString: database.connectionString,
    poolMax: 10,
    applicationName,
    log: silentLog,
    clock: systemClock,
    metrics,
    ...options,
  });
  opened.push(db);
  return { db, metrics };
}

async function add(target: Pick<Database, 'query'>, name: string, n = 1): Promise<void> {
  await target.query(
    'insert into public.counters values ($1, $2) on conflict (name) do update set n = counters.n + excluded.n',
    [name, n],
  );
}

async function counters(): Promise<Record<string, number>> {
  const { rows } = await database.db.query<{ name: string; n: number }>('select * from public.counters');
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
}

async function retriesByState(metrics: Metrics): Promise<Record<string, number>> {
  const { values } = await metrics.transactionRetries.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.sqlstate, value]));
}

const backendOf = async (target: Pick<Database, 'query'>): Promise<number> =>
  (await target.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;

const sessions = async () =>
  (await database.db.query('select from pg_stat_activity where application_name = $1', [applicationName])).rowCount;

/** Ends a session and waits until the server has forgotten it, so that its farewell is on its way to us. */
async function kill(pid: number): Promise<void> {
  await database.db.query('select pg_terminate_backend($1, 10000)', [pid]);
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

describe('a transaction', () => {
  test('commits what it did and passes on what it returned', async () => {
    const { db } = open();
    expect(await db.tx({ label: 'add' }, (tx) => add(tx, 'a').then(() => 'done'))).toBe('done');
    expect(await counters()).toEqual({ a: 1 });
  });

  test('rolls back on anything thrown, passes it on unchanged and keeps its connection', async () => {
    const { db } = open({ poolMax: 1 });
    const pid = await backendOf(db);
    const reason = new Error('no SQLSTATE on me');
    const failed = db.tx({ label: 'fail' }, async (tx) => {
      await add(tx, 'a');
      throw reason;
    });
    expect(await failureOf(failed)).toBe(reason);
    expect(await counters()).toEqual({});
    expect(await backendOf(db)).toBe(pid);
  });

  test('whose work swallowed a failed statement says that nothing was committed', async () => {
    const { db } = open({ poolMax: 1 });
    const pid = await backendOf(db);
    const swallowing = db.tx({ label: 'swallow' }, async (tx) => {
      await add(tx, 'a');
      await tx.query('select 1 / 0').catch(() => undefined);
      return 'all is well';
    });
    const failure = await failureOf(swallowing);
    expect(failure).toBeInstanceOf(TransactionAbortedError);
    expect(failure).toMatchObject({ code: 'TRANSACTION_ABORTED', message: expect.stringContaining('"swallow"') });
    expect(await counters()).toEqual({});
    expect(await backendOf(db)).toBe(pid);
  });

  test.each(['commit', 'rollback'])(
    'is dead after its %s: a late statement never reaches the connection',
    async (end) => {
      const { db } = open({ poolMax: 1 });
      let late: Promise<void> | undefined;
      const over = Promise.withResolvers<void>();
      const whole = db.tx({ label: 'short' }, async (tx) => {
        late = over.promise.then(() => add(tx, 'late'));
        if (end === 'rollback') throw new Error('on purpose');
      });
      await whole.catch(() => undefined);
      const next = db.tx({ label: 'next' }, async (tx) => {
        over.resolve();
        expect(await failureOf(late ?? Promise.resolve())).toBeInstanceOf(TransactionOverError);
        await add(tx, 'next');
      });
      await next;
      expect(await counters()).toEqual({ next: 1 });
    },
  );

  test('is bounded by the server and of the kind asked for; a plain query is not touched', async () => {
    const { db } = open({ poolMax: 1 });
    const settings = `select name, setting || coalesce(unit, '') as value from pg_settings where name in (
      'idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout', 'transaction_isolation', 'transaction_read_only')`;
    const read = async (target: Pick<Database, 'query'>) =>
      Object.fromEntries(
        (await target.query<{ name: string; value: string }>(settings)).rows.map(({ name, value }) => [name, value]),
      );
    const limits = {
      idle_in_transaction_session_timeout: '10000ms',
      lock_timeout: '20000ms',
      statement_timeout: '60000ms',
    };
    const none = { idle_in_transaction_session_timeout: '0ms', lock_timeout: '0ms', statement_timeout: '0ms' };
    const plain = { transaction_isolation: 'read committed', transaction_read_only: 'off' };

    expect(await db.tx({ label: 'plain' }, read)).toEqual({ ...limits, ...plain });
    expect(await db.tx({ label: 'look', isolation: 'repeatable read', readOnly: true }, read)).toEqual({
      ...limits,
      transaction_isolation: 'repeatable read',
      transaction_read_only: 'on',
    });
    expect(await db.tx({ label: 'look', readOnly: true }, read)).toEqual({
      ...limits,
      transaction_isolation: 'read committed',
      transaction_read_only: 'on',
    });
    expect(await read(db)).toEqual({ ...none, ...plain });
  });
});

describe('a second connection under a transaction', () => {
  test('is refused and counted, where waiting would be for ever: a pool of one', async () => {
    const { db, metrics } = open({ poolMax: 1 });
    const deep = async () => {
      await Promise.resolve();
      return db.query('select 1');
    };
    await db.tx({ label: 'outer' }, async (tx) => {
      for (const ask of [
        () => db.query('select 1'),
        deep,
        () => db.tx({ label: 'inner' }, () => Promise.resolve()),
        () => Promise.all([add(tx, 'a'), deep()]),
      ]) {
        const failure = await failureOf(ask());
        expect(failure).toBeInstanceOf(HeldConnectionError);
        expect(failure).toMatchObject({ code: 'HELD_CONNECTION', label: 'outer' });
      }
    });
    expect((await metrics.heldConnectionViolations.get()).values[0]?.value).toBe(4);
    expect(await counters()).toEqual({ a: 1 });
  });

  test('is given to what was started inside and goes on after the end', async () => {
    const { db, metrics } = open({ poolMax: 1 });
    const over = Promise.withResolvers<void>();
    let later: Promise<number> | undefined;
    await db.tx({ label: 'outer' }, async () => {
      later = over.promise.then(() => backendOf(db));
    });
    over.resolve();
    expect(await later).toBeGreaterThan(0);
    expect((await metrics.heldConnectionViolations.get()).values[0]?.value).toBe(0);
  });

  test('of another database object is refused as well', async () => {
    const { db } = open();
    const { db: other } = open();
    const failure = await db.tx({ label: 'outer' }, () => failureOf(other.query('select 1')));
    expect(failure).toBeInstanceOf(HeldConnectionError);
  });
});

describe('a transaction that met another', () => {
  test('in a deadlock runs again, and both are done', async () => {
    const { db, metrics } = open();
    await add(db, 'left', 0);
    await add(db, 'right', 0);
    const holds = { left: Promise.withResolvers<void>(), right: Promise.withResolvers<void>() };
    const runs = { left: 0, right: 0 };
    const crosswise = (first: 'left' | 'right', second: 'left' | 'right', share: number) =>
      db.tx({ label: `${first} first` }, async (tx) => {
        runs[first] += 1;
        await add(tx, first, share);
        holds[first].resolve();
        await holds[second].promise;
        await add(tx, second, share);
      });
    await Promise.all([crosswise('left', 'right', 1), crosswise('right', 'left', 10)]);
    expect(await counters()).toEqual({ left: 11, right: 11 });
    expect(runs.left + runs.right).toBe(3);
    expect(await retriesByState(metrics)).toEqual({ '40P01': 1 });
  });

  test('in a write that its snapshot has not seen runs again on a new snapshot', async () => {
    const { db, metrics } = open();
    await add(db, 'a', 1);
    const seen: (number | undefined)[] = [];
    await db.tx({ label: 'double', isolation: 'repeatable read' }, async (tx) => {
      const { rows } = await tx.query<{ n: number }>("select n from public.counters where name = 'a'");
      seen.push(rows[0]?.n);
      // On a connection of the bystander: another call chain, as far as the lease can see.
      if (seen.length === 1) await asStranger(() => add(database.db, 'a', 100));
      await tx.query("update public.counters set n = $1 where name = 'a'", [2 * (rows[0]?.n ?? 0)]);
    });
    expect(seen).toEqual([1, 101]);
    expect(await counters()).toEqual({ a: 202 });
    expect(await retriesByState(metrics)).toEqual({ '40001': 1 });
  });

  test('again and again gives up, after waits that grow', async () => {
    const waits: number[] = [];
    const clock: Clock = { ...systemClock, sleep: async (ms) => void waits.push(ms) };
    const { db, metrics } = open({ clock, random: () => 0.5 });
    let runs = 0;
    const unlucky = (retries?: number) =>
      db.tx({ label: 'unlucky', ...(retries !== undefined && { retries }) }, async (tx) => {
        runs += 1;
        await tx.query("do $$ begin raise exception 'met again' using errcode = '40P01'; end $$");
      });
    expect(sqlState(await failureOf(unlucky()))).toBe('40P01');
    expect(runs).toBe(6);
    expect(waits).toEqual([10, 20, 40, 80, 160]);
    expect(await retriesByState(metrics)).toEqual({ '40P01': 5 });
    expect(sqlState(await failureOf(unlucky(0)))).toBe('40P01');
    expect(runs).toBe(7);
  });

  test('is run once where it fails for any other reason', async () => {
    const { db, metrics } = open();
    let runs = 0;
    const doomed = db.tx({ label: 'doomed' }, async (tx) => {
      runs += 1;
      await tx.query('select 1 / 0');
    });
    expect(sqlState(await failureOf(doomed))).toBe('22012');
    expect(runs).toBe(1);
    expect(await retriesByState(metrics)).toEqual({});
  });
});

describe('a connection that the server ends', () => {
  test.each(['between two statements', 'during a statement'])(
    '%s of a transaction is an error, and the next one works',
    async (when) => {
      const { db } = open({ poolMax: 1 });
      let killed = 0;
      const cut = db.tx({ label: 'cut' }, async (tx) => {
        await add(tx, 'a');
        killed = await backendOf(tx);
        if (when === 'during a statement') {
          const sleeping = tx.query('select pg_sleep(60)');
          sleeping.catch(() => undefined);
          await asStranger(async () => {
            await expect.poll(() => isAsleep(killed)).toBe(true);
            await kill(killed);
          });
          await sleeping;
        } else {
          await asStranger(() => kill(killed));
          await add(tx, 'b');
        }
      });
      expect(isConnectionFailure(await failureOf(cut))).toBe(true);
      expect(db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
      expect(await backendOf(db)).not.toBe(killed);
      expect(await counters()).toEqual({});
      expect(db.poolCounts()).toEqual({ used: 0, idle: 1, waiting: 0 });
      expect(await sessions()).toBe(1);
    },
  );

  test('while one waits for it is passed over: whoever waits gets a new one', async () => {
    const { db } = open({ poolMax: 1 });
    const [held, cut] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()];
    const holder = db.tx({ label: 'holder' }, async (tx) => {
      held.resolve(await backendOf(tx));
      await cut.promise;
      await add(tx, 'a');
    });
    holder.catch(() => undefined);
    const pid = await held.promise;
    const waiter = backendOf(db);
    await kill(pid);
    cut.resolve();
    expect(isConnectionFailure(await failureOf(holder))).toBe(true);
    expect(await waiter).not.toBe(pid);
  });

  test('while it is idle is not even noticed by the next query', async () => {
    const { db } = open({ poolMax: 3 });
    const pids = await Promise.all([1, 2, 3].map(() => db.tx({ label: 'fill' }, backendOf)));
    expect(new Set(pids).size).toBe(3);
    for (const pid of pids) await kill(pid);
    await expect.poll(() => db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
    expect(pids).not.toContain(await backendOf(db));
    expect(await sessions()).toBe(1);
  });
});

describe('bigint', () => {
  test('comes as a number, also as numbers that only just are one', async () => {
    const { db } = open();
    const { rows } = await db.query(
      'select count(*) as n, 9007199254740991::bigint as most, -5::bigint as less, null::bigint as none',
    );
    expect(rows).toEqual([{ n: 1, most: Number.MAX_SAFE_INTEGER, less: -5, none: null }]);
  });

  test.each(['9007199254740993', '-9007199254740993', '9223372036854775807'])(
    '%s is refused rather than rounded',
    async (text) => {
      const { db } = open({ poolMax: 1 });
      const failure = await failureOf(db.query(`select ${text}::bigint as n`));
      expect(failure).toBeInstanceOf(RangeError);
      expect(String(failure)).toContain(text);
      expect(await failureOf(db.tx({ label: 'read' }, (tx) => tx.query(`select ${text}::bigint as n`)))).toBeInstanceOf(
        RangeError,
      );
      expect((await db.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    },
  );
});

test('the result of several statements in one text is that of the last', async () => {
  const { db } = open();
  expect(await db.query('select 1 as a; select 2 as b union all select 3')).toMatchObject({
    rows: [{ b: 2 }, { b: 3 }],
    rowCount: 2,
  });
});

describe('the pool', () => {
  test('counts connections in use, idle ones and callers without one, and notes how long each was held', async () => {
    const { db, metrics } = open({ poolMax: 2 });
    const release = Promise.withResolvers<void>();
    const held = [1, 2].map(() => {
      const taken = Promise.withResolvers<void>();
      const done = db.tx({ label: 'hold' }, async () => {
        taken.resolve();
        await release.promise;
      });
      return { taken: taken.promise, done };
    });
    await Promise.all(held.map(({ taken }) => taken));
    const third = db.query('select 1');
    expect(db.poolCounts()).toEqual({ used: 2, idle: 0, waiting: 1 });
    release.resolve();
    await Promise.all([...held.map(({ done }) => done), third]);
    expect(db.poolCounts()).toEqual({ used: 0, idle: 2, waiting: 0 });
    const { values } = await metrics.poolHoldSeconds.get();
    expect(values.find(({ metricName }) => metricName === 'engramd_pool_hold_seconds_count')?.value).toBe(3);
  });

  test('closes when what is out has come back; who waits is told at once, and so is who comes later', async () => {
    const { db } = open({ poolMax: 1 });
    const [taken, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holder = db.tx({ label: 'holder' }, async (tx) => {
      taken.resolve();
      await release.promise;
      await add(tx, 'a');
    });
    await taken.promise;
    const waiters = [db.query('select 1'), db.tx({ label: 'waiter' }, (tx) => add(tx, 'b'))].map(failureOf);
    const closing = db.close();
    for (const failure of await Promise.all(waiters)) {
      expect(failure).toBeInstanceOf(DatabaseClosedError);
      expect(isConnectionFailure(failure)).toBe(true);
    }
    expect(await failureOf(db.query('select 1'))).toBeInstanceOf(DatabaseClosedError);
    expect(db.poolCounts().used).toBe(1);
    release.resolve();
    await Promise.all([holder, closing, db.close()]);
    expect(await counters()).toEqual({ a: 1 });
    await expect.poll(sessions).toBe(0);
  });

  test('closes while a connection is on its way, which then goes too', async () => {
    const { db } = open({ poolMax: 2 });
    const asked = failureOf(db.query('select 1'));
    await db.close();
    expect(await asked).toBeInstanceOf(DatabaseClosedError);
    await expect.poll(sessions).toBe(0);
  });
});

describe('a pool that is sent to rest', () => {
  test('has no connection left on the server, and connects again for the next query', async () => {
    const { db } = open({ poolMax: 3 });
    const pids = await Promise.all([1, 2, 3].map(() => db.tx({ label: 'fill' }, backendOf)));
    await db.rest();
    expect(db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
    await expect.poll(sessions).toBe(0);
    // With nothing to end there is nothing to wait for.
    await db.rest();
    expect(pids).not.toContain(await backendOf(db));
  });

  test('keeps no connection for later until it is roused: who asks something of a parked daemon leaves nothing behind', async () => {
    const { db } = open({ poolMax: 3 });
    await db.rest();
    await add(db, 'a');
    await db.tx({ label: 'ask' }, (tx) => add(tx, 'b'));
    expect(db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
    await expect.poll(sessions).toBe(0);
    db.rouse();
    const pid = await backendOf(db);
    expect(await backendOf(db)).toBe(pid);
  });

  test('waits for a connection that is out, and gives whoever waits for it a new one instead of an error', async () => {
    const { db } = open({ poolMax: 1 });
    const [held, release] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()];
    const holder = db.tx({ label: 'holder' }, async (tx) => {
      held.resolve(await backendOf(tx));
      await release.promise;
      await add(tx, 'a');
    });
    const pid = await held.promise;
    const waiter = backendOf(db);
    let isResting = true;
    const resting = db.rest().then(() => {
      isResting = false;
    });
    await database.db.query('select 1');
    expect(isResting).toBe(true);
    expect(await asStranger(sessions)).toBe(1);
    release.resolve();
    await Promise.all([holder, resting]);
    expect(await waiter).not.toBe(pid);
    expect(await counters()).toEqual({ a: 1 });
    await db.rest();
    await expect.poll(sessions).toBe(0);
  });

  test('ends what comes back after the caller has stopped waiting', async () => {
    const { db } = open({ poolMax: 2 });
    const [taken, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holder = db.tx({ label: 'holder' }, async () => {
      taken.resolve();
      await release.promise;
    });
    await taken.promise;
    void db.rest();
    release.resolve();
    await holder;
    expect(db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
  });

  test('under a transaction is refused, since it would wait for its own connection', async () => {
    const { db } = open({ poolMax: 1 });
    const failure = await db.tx({ label: 'outer' }, () => failureOf(db.rest()));
    expect(failure).toBeInstanceOf(HeldConnectionError);
  });

  test('and closed at the same time ends once', async () => {
    const { db } = open({ poolMax: 2 });
    await add(db, 'a');
    await Promise.all([db.rest(), db.close(), db.rest()]);
    await expect.poll(sessions).toBe(0);
  });
});

const stranger = new AsyncResource('stranger');

/** Runs `work` in a call chain that holds nothing. */
function asStranger<T>(work: () => Promise<T>): Promise<T> {
  return stranger.runInAsyncScope(work);
}

async function isAsleep(pid: number): Promise<boolean> {
  const { rowCount } = await database.db.query(
    "select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'",
    [pid],
  );
  return rowCount === 1;
}
