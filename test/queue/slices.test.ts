import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { createBoss } from '../../src/queue/boss.ts';
import { consolidateQueue, heartbeatEveryMs } from '../../src/queue/queues.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { createHandRacepoints } from './hand-racepoints.ts';
import { addMemories, consolidateAll, createRig, eventually, jobRows, makeJobStart, type Rig } from './queue-rig.ts';
import { createScriptedEngine, SliceCensus } from './scripted-engine.ts';

let database: TestDatabase;
const rigs: Rig[] = [];
const closers: (() => Promise<void>)[] = [];
beforeEach(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
afterEach(async () => {
  for (const { queue, engine } of rigs.splice(0)) {
    engine.endAll();
    await queue.stop({ graceMs: 5000 });
  }
  for (const close of closers.splice(0)) await close();
  await database.drop();
});

async function startRig(overrides: Parameters<typeof createRig>[1] = {}): Promise<Rig> {
  const rig = createRig(overrides?.db ?? database.db, overrides);
  rigs.push(rig);
  await rig.queue.start();
  return rig;
}

/** Another process: a pool of its own. */
function anotherDaemon() {
  const db = createDatabase({
    connectionString: database.connectionString,
    poolMax: 2,
    applicationName: 'other-daemon',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  closers.push(() => db.close());
  return db;
}

const countOf = async (metrics: Metrics, name: 'jobs' | 'lostClaims', labels: Record<string, string>) => {
  const { values } = await metrics[name].get();
  return values
    .filter((value) =>
      Object.entries(labels).every(([key, label]) =>
        Object.entries(value.labels).some((l) => l[0] === key && l[1] === label),
      ),
    )
    .reduce((sum, value) => sum + value.value, 0);
};

/** A clock whose sleeps of one length end when the test says, or never. */
function heldClock(heldMs: number): Clock & { letGo(): void } {
  const held: (() => void)[] = [];
  return {
    ...systemClock,
    sleep: (ms, signal) =>
      ms === heldMs ? new Promise((resolve) => held.push(resolve)) : systemClock.sleep(ms, signal),
    letGo() {
      for (const wake of held.splice(0)) wake();
    },
  };
}

describe('a job and the debounce', () => {
  test('a job that comes early sends itself away and touches nothing', async () => {
    const { queue, engine, metrics } = await startRig();
    await addMemories(database.db, 'b', { ageSeconds: 10 });
    await queue.hint('b');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(1));
    await makeJobStart(database.db, 'b');
    await eventually(async () => expect(await jobRows(database.db, { ended: true })).toHaveLength(2));
    const [early, again] = await jobRows(database.db, { ended: true });
    expect(early).toMatchObject({ state: 'completed' });
    expect(again).toMatchObject({ state: 'created', trigger: 'hint' });
    expect(again?.startsIn).toBeGreaterThan(15);
    expect(again?.startsIn).toBeLessThan(21);
    expect(engine.calls).toEqual([]);
    await eventually(async () => expect(await countOf(metrics, 'jobs', { outcome: 'early' })).toBe(1));
  });

  test('a job whose rows are gone ends, and nothing follows', async () => {
    const { queue, engine } = await startRig();
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(1));
    await consolidateAll(database.db, 'b');
    await makeJobStart(database.db, 'b');
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
    expect(engine.calls).toEqual([]);
  });

  test('a request skips it', async () => {
    const { queue, engine } = await startRig();
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(1));
    const { jobId } = await queue.requestConsolidation('b');
    expect(jobId).toBe((await jobRows(database.db))[0]?.id);
    const slice = await engine.next();
    expect(slice.options).toMatchObject({ bankId: 'b', trigger: 'requested' });
    await consolidateAll(database.db, 'b');
    slice.end();
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
  });

  test('a request for a bank at work runs again at once after it', async () => {
    const { queue, engine } = await startRig();
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    const first = await engine.next();
    expect(await queue.requestConsolidation('b')).toEqual({ jobId: null });
    await consolidateAll(database.db, 'b');
    await addMemories(database.db, 'b');
    first.end();
    const second = await engine.next();
    expect(second.options.trigger).toBe('requested');
    second.end();
  });
});

describe('the transaction that completes a slice', () => {
  const crash = () => {
    throw new Error('crash');
  };

  test.each(['slice:before-complete', 'slice:completed-uncommitted'] as const)(
    'a crash at %s leaves neither a completed job nor a successor',
    async (racepoint) => {
      const racepoints = createHandRacepoints();
      const { queue, engine } = await startRig({ racepoints });
      await addMemories(database.db, 'b', { ageSeconds: 60 });
      racepoints.on(racepoint, crash);
      await queue.requestConsolidation('b');
      const slice = await engine.next();
      slice.end({ outcome: 'time_up' });
      await eventually(async () =>
        expect(await jobRows(database.db)).toMatchObject([{ state: 'retry', retryCount: 0 }]),
      );
      expect(await jobRows(database.db, { ended: true })).toHaveLength(1);

      racepoints.clear();
      await makeJobStart(database.db, 'b');
      const again = await engine.next();
      await consolidateAll(database.db, 'b');
      again.end();
      await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
    },
  );

  test('a connection cut before the commit leaves neither', async () => {
    const racepoints = createHandRacepoints();
    const { queue, engine } = await startRig({ racepoints });
    const onlooker = anotherDaemon();
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    racepoints.on('slice:completed-uncommitted', async () => {
      racepoints.clear();
      await onlooker.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and state = 'idle in transaction'`,
      );
    });
    await queue.requestConsolidation('b');
    (await engine.next()).end({ outcome: 'time_up' });
    await eventually(async () => expect(await jobRows(onlooker)).toMatchObject([{ state: 'retry' }]));
    expect(await jobRows(onlooker, { ended: true })).toHaveLength(1);
  });

  test('a crash after the commit leaves both', async () => {
    const racepoints = createHandRacepoints();
    const { queue, engine } = await startRig({ racepoints });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    racepoints.on('slice:after-complete', crash);
    await queue.requestConsolidation('b');
    (await engine.next()).end({ outcome: 'deferred', retryAt: new Date(Date.now() + 3_600_000) });
    await eventually(async () => expect(await jobRows(database.db, { ended: true })).toHaveLength(2));
    expect(await jobRows(database.db, { ended: true })).toMatchObject([
      { state: 'completed' },
      { state: 'created', trigger: 'deferred' },
    ]);
  });

  test('a row written while its bank is at work, whose hint is swallowed, has a job afterwards', async () => {
    const racepoints = createHandRacepoints();
    const { queue, engine } = await startRig({ racepoints });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    racepoints.on('slice:before-complete', async () => {
      await consolidateAll(database.db, 'b');
      await addMemories(database.db, 'b');
    });
    await queue.requestConsolidation('b');
    (await engine.next()).end();
    await eventually(async () =>
      expect(await jobRows(database.db)).toMatchObject([{ state: 'created', trigger: 'scheduled' }]),
    );
    const [successor] = await jobRows(database.db);
    expect(successor?.startsIn).toBeGreaterThan(25);
  });

  test('a row whose hint is swallowed at the last moment has a job afterwards', async () => {
    const writer = anotherDaemon();
    const boss = createBoss({ db: writer, log: silentLog });
    await boss.start();
    closers.unshift(() => boss.stop());
    const outside = AsyncLocalStorage.snapshot();
    let swallowed: string | null | undefined;
    async function writeAndHint(): Promise<void> {
      await addMemories(writer, 'b');
      swallowed = await boss.send(writer, 'consolidate', { bankId: 'b', trigger: 'hint' }, new Date());
    }
    /** Writes and hints just before the statement that completes the job, in its transaction but on another connection. */
    const db: Database = {
      ...database.db,
      tx: (options, work) =>
        database.db.tx(options, (tx) =>
          work({
            ...tx,
            async query(text, values) {
              if (text.includes('completed_on =') && swallowed === undefined) await outside(writeAndHint);
              return tx.query(text, values);
            },
          }),
        ),
    };
    const { queue, engine } = await startRig({ db });
    await addMemories(writer, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    const slice = await engine.next();
    await consolidateAll(writer, 'b');
    slice.end();
    await eventually(async () =>
      expect(await jobRows(writer)).toMatchObject([{ state: 'created', trigger: 'scheduled' }]),
    );
    expect(swallowed).toBeNull();
  });

  test('a row written after the rows were read, before the commit, has a job afterwards by its hint', async () => {
    const racepoints = createHandRacepoints();
    const { queue, engine } = await startRig({ racepoints });
    const writer = createRig(anotherDaemon());
    rigs.push(writer);
    await writer.queue.start();
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    // Either daemon may have it.
    const slice = await Promise.race([engine.next(), writer.engine.next()]);
    const onlooker = anotherDaemon();
    await consolidateAll(database.db, 'b');
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const completing = onlooker.tx({ label: 'completes a job' }, async (tx) => {
      await tx.query("update pgboss.job set state = 'completed', completed_on = now() where state = 'active'");
      reached.resolve();
      await held.promise;
    });
    await reached.promise;
    await addMemories(onlooker, 'b');
    await writer.queue.hint('b');
    // The hint's insert waits for the transaction that ends the job.
    await eventually(async () => {
      const { rowCount } = await onlooker.query(
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
      expect(rowCount).toBe(1);
    });
    held.resolve();
    await completing;
    await eventually(async () =>
      expect(await jobRows(onlooker)).toMatchObject([{ state: 'created', trigger: 'hint' }]),
    );
    slice.end();
  });
});

describe('one bank on one daemon', () => {
  test('two daemons never run two slices of a bank at once, and both get work', async () => {
    const census = new SliceCensus();
    const banks = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    for (const bank of banks) await addMemories(database.db, bank, { ageSeconds: 60 });
    const script = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return { outcome: 'time_up' } as const;
    };
    const left = await startRig({ engine: createScriptedEngine({ census, script }) });
    const right = await startRig({ db: anotherDaemon(), engine: createScriptedEngine({ census, script }) });
    await Promise.all(
      banks.flatMap((bank) => [left.queue.requestConsolidation(bank), right.queue.requestConsolidation(bank)]),
    );
    await eventually(() => {
      expect(left.engine.calls.length).toBeGreaterThan(20);
      expect(right.engine.calls.length).toBeGreaterThan(20);
    });
    expect(census.mostAtOnce).toBe(1);
    expect(new Set([...left.engine.calls, ...right.engine.calls].map((call) => call.bankId))).toEqual(new Set(banks));
  });

  async function lapse(): Promise<void> {
    const supervisor = createBoss({ db: anotherDaemon(), log: silentLog });
    await supervisor.start();
    await database.db.query("update pgboss.job set heartbeat_on = now() - interval '1 minute' where state = 'active'");
    await database.db.query('update pgboss.queue set monitor_claim_on = null, monitor_on = null');
    await supervisor.supervise();
    await supervisor.stop();
  }

  test('a worker that slept past its lease finds its bank taken over and its completion refused', async () => {
    const sleeper = await startRig({ clock: heldClock(heartbeatEveryMs) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await sleeper.queue.requestConsolidation('b');
    const stale = await sleeper.engine.next();
    const taker = await startRig({ db: anotherDaemon() });
    await lapse();
    expect(await jobRows(database.db)).toMatchObject([{ state: 'retry', retryCount: 0 }]);
    // The sleeper is asleep: only the other daemon polls.
    await sleeper.queue.drain({ graceMs: 0 });
    await makeJobStart(database.db, 'b');
    const taken = await taker.engine.next();
    expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 1 }]);

    await consolidateAll(database.db, 'b');
    stale.end();
    await eventually(async () =>
      expect(await countOf(sleeper.metrics, 'lostClaims', { queue: 'consolidate' })).toBe(1),
    );
    expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 1 }]);
    expect(taken.options.signal.aborted).toBe(false);
    taken.end();
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
    expect(await countOf(taker.metrics, 'lostClaims', { queue: 'consolidate' })).toBe(0);
  });

  test('a worker that hears of it calls its slice off', async () => {
    const clock = heldClock(heartbeatEveryMs);
    const { queue, engine, metrics } = await startRig({ clock });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    const slice = await engine.next();
    clock.letGo();
    await eventually(async () => {
      const { rows } = await database.db.query(
        "select heartbeat_on > started_on as beaten from pgboss.job where state = 'active'",
      );
      expect(rows).toEqual([{ beaten: true }]);
    });
    expect(slice.options.signal.aborted).toBe(false);

    await database.db.query("update pgboss.job set state = 'retry', start_after = now() + interval '1 hour'");
    clock.letGo();
    await eventually(() => expect(slice.options.signal.reason).toBe('lost_claim'));
    slice.end({ outcome: 'aborted' });
    await eventually(async () => expect(await countOf(metrics, 'lostClaims', { queue: 'consolidate' })).toBe(1));
  });

  test('a slice that hangs is called off before pg-boss gives its job away', async () => {
    const clock = heldClock(consolidateQueue.deadlineMs);
    const { queue, engine } = await startRig({ clock });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    const slice = await engine.next();
    clock.letGo();
    await eventually(() => expect(slice.options.signal.reason).toBe('deadline'));
    slice.end({ outcome: 'aborted' });
    const successor = await engine.next();
    expect(successor.options.trigger).toBe('successor');
    expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 0 }]);
    await consolidateAll(database.db, 'b');
    successor.end();
  });

  test('a bank fetched again in the same process waits for the slice that lost its claim', async () => {
    const census = new SliceCensus();
    const { queue, engine } = await startRig({ engine: createScriptedEngine({ census }) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    const stale = await engine.next();
    await database.db.query("update pgboss.job set state = 'retry', start_after = now() where state = 'active'");
    await eventually(() => expect(stale.options.signal.reason).toBe('lost_claim'));
    await eventually(async () =>
      expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 1 }]),
    );
    expect(engine.calls).toHaveLength(1);
    stale.end({ outcome: 'aborted' });
    const next = await engine.next();
    expect(census.mostAtOnce).toBe(1);
    expect(await queue.snapshot()).toMatchObject({ inFlight: 1, consolidate: { active: 1 } });
    await consolidateAll(database.db, 'b');
    next.end();
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
  });
});

describe('banks beside each other', () => {
  test("one bank's failures and retries keep no other bank waiting, and its writer does not burn its retries", async () => {
    const script = async ({ bankId }: { bankId: string }) => {
      if (bankId === 'bad') throw new Error('the database is gone');
      await consolidateAll(database.db, bankId);
      return { outcome: 'drained' } as const;
    };
    const { queue, engine } = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'bad', { ageSeconds: 60 });
    await queue.requestConsolidation('bad');
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject([{ bankId: 'bad', state: 'retry' }]));
    const [paused] = await jobRows(database.db);
    expect(paused?.startsIn).toBeGreaterThan(3);

    await addMemories(database.db, 'bad', { count: 600, ageSeconds: 60 });
    await queue.hint('bad');
    for (const bank of ['good', 'better', 'best']) {
      await addMemories(database.db, bank, { ageSeconds: 60 });
      await queue.hint(bank);
    }
    await eventually(() =>
      expect(engine.calls.map((call) => call.bankId).sort()).toEqual(['bad', 'best', 'better', 'good']),
    );
    const bad = [{ bankId: 'bad', state: 'retry', retryCount: 0 }];
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject(bad));
    await queue.reconcile();
    const [still] = await jobRows(database.db);
    expect(still).toMatchObject({ trigger: 'requested', state: 'retry' });
    expect(still?.startsIn).toBeGreaterThan(2);
  });

  test('a slice is asked to make room when every slot is taken and a bank waits, not before', async () => {
    let offsetMs = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + offsetMs };
    const { queue, engine } = await startRig({ clock });
    const banks = Array.from({ length: consolidateQueue.concurrency + 1 }, (_, index) => `b${index}`);
    for (const bank of banks) await addMemories(database.db, bank, { ageSeconds: 60 });
    await queue.requestConsolidation('b0');
    const first = await engine.next();
    const slices = [first];
    for (const bank of banks.slice(1, -1)) {
      offsetMs += 5000;
      expect(await first.options.anotherBankWaits?.()).toBe(false);
      await queue.requestConsolidation(bank);
      slices.push(await engine.next());
    }
    offsetMs += 5000;
    expect(await first.options.anotherBankWaits?.()).toBe(false);
    await queue.requestConsolidation(banks.at(-1) ?? '');
    offsetMs += 5000;
    expect(await first.options.anotherBankWaits?.()).toBe(true);

    first.end({ outcome: 'yielded' });
    const waited = await engine.next();
    expect(waited.options.bankId).toBe(banks.at(-1));
    for (const bank of banks) await consolidateAll(database.db, bank);
    for (const slice of [...slices.slice(1), waited]) slice.end();
    const successor = await engine.next();
    expect(successor.options).toMatchObject({ bankId: 'b0', trigger: 'successor' });
    successor.end();
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
  });

  test('with a pool of two, forty banks are drained', async () => {
    const script = async ({ bankId }: { bankId: string }) => {
      await consolidateAll(database.db, bankId);
      return { outcome: 'drained' } as const;
    };
    const embedded: string[] = [];
    const { queue } = await startRig({
      engine: createScriptedEngine({ script }),
      embedPending: async (bankId) => {
        await database.db.query(
          "update engram.memories set embedding = '{1,0}', embedding_model = 'test/2' where bank_id = $1 and embedding is null",
          [bankId],
        );
        embedded.push(bankId);
        return { embedded: 1, remaining: 0 };
      },
    });
    const banks = Array.from({ length: 40 }, (_, index) => `b${index}`);
    await Promise.all(
      banks.map(async (bank) => {
        await addMemories(database.db, bank, { count: 3, ageSeconds: 60, embedded: false });
        await queue.hint(bank);
        await queue.requestConsolidation(bank);
      }),
    );
    await eventually(async () => {
      const { rowCount } = await database.db.query(
        "select from engram.memories where state = 'pending' or embedding is null",
      );
      expect(rowCount).toBe(0);
    });
    expect(new Set(embedded)).toEqual(new Set(banks));
  });
});
