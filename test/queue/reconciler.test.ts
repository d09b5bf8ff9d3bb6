import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { QueueSchemaNewerError } from '../../src/queue/errors.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import {
  addBank,
  addMemories,
  consolidateAll,
  createRig,
  eventually,
  jobRows,
  makeJobStart,
  type Rig,
} from './queue-rig.ts';
import { createScriptedEngine } from './scripted-engine.ts';

let database: TestDatabase;
const rigs: Rig[] = [];
beforeEach(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
afterEach(async () => {
  for (const { queue, engine } of rigs.splice(0)) {
    engine.endAll();
    await queue.stop({ graceMs: 5000 });
  }
  await database.drop();
});

async function startRig(overrides: Parameters<typeof createRig>[1] = {}): Promise<Rig> {
  const rig = createRig(database.db, overrides);
  rigs.push(rig);
  await rig.queue.start();
  return rig;
}

async function delayJob(bankId: string, trigger: string, interval: string): Promise<void> {
  await database.db.query(
    `update pgboss.job set start_after = now() + $3::interval, data = jsonb_set(data, '{trigger}', to_jsonb($2::text))
     where singleton_key = $1 and state = 'created'`,
    [bankId, trigger, interval],
  );
}

describe('hints', () => {
  test('many become one job, at its time', async () => {
    const { queue } = await startRig();
    for (let written = 0; written < 20; written += 1) {
      await addMemories(database.db, 'b');
      await queue.hint('b');
    }
    await eventually(async () =>
      expect(await jobRows(database.db)).toMatchObject([{ trigger: 'hint', state: 'created' }]),
    );
    const [job] = await jobRows(database.db);
    expect(job?.startsIn).toBeGreaterThan(28);
    expect(job?.startsIn).toBeLessThan(31);
  });

  test('bring a job forward and never back', async () => {
    const { queue } = await startRig();
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(1));
    const [first] = await jobRows(database.db);

    await delayJob('b', 'scheduled', '1 day');
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await eventually(async () => expect((await jobRows(database.db))[0]?.startsIn).toBeLessThan(31));
    expect(await jobRows(database.db)).toMatchObject([{ id: first?.id, trigger: 'hint' }]);

    await delayJob('b', 'hint', '10 seconds');
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await queue.hint('another');
    // A bank of its own tells when the hints before it have been sent.
    await addMemories(database.db, 'another');
    await queue.hint('another');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(2));
    expect((await jobRows(database.db))[0]?.startsIn).toBeLessThan(10);
  });

  test('never undo a wish that came between their look and their move', async () => {
    const { queue } = await startRig();
    await queue.drain({ graceMs: 0 });
    await addMemories(database.db, 'b');
    await queue.reconcile();
    await delayJob('b', 'scheduled', '1 day');
    const held = Promise.withResolvers<void>();
    const moved = Promise.withResolvers<void>();
    const asking = database.db.tx({ label: 'asks for it now' }, async (tx) => {
      await tx.query("update pgboss.job set start_after = now(), data = jsonb_set(data, '{trigger}', '\"requested\"')");
      moved.resolve();
      await held.promise;
    });
    await moved.promise;
    await queue.hint('b');
    const other = await createTestDatabase({ poolMax: 1 });
    await eventually(async () => {
      const waiting = await other.db.query(
        "select from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'",
        [new URL(database.connectionString).pathname.slice(1)],
      );
      expect(waiting.rowCount).toBe(1);
    });
    held.resolve();
    await asking;
    await eventually(() => expect(database.db.poolCounts()).toMatchObject({ used: 0 }));
    await other.drop();
    const [job] = await jobRows(database.db);
    expect(job).toMatchObject({ trigger: 'requested' });
    expect(job?.startsIn).toBeLessThanOrEqual(0);
  });

  test('500 rows are due at once', async () => {
    const { queue, engine } = await startRig();
    await addMemories(database.db, 'b', { count: 499 });
    await queue.hint('b');
    await eventually(async () => expect((await jobRows(database.db))[0]?.startsIn).toBeGreaterThan(25));
    await addMemories(database.db, 'b');
    await queue.hint('b');
    const slice = await engine.next();
    expect(slice.options.trigger).toBe('hint');
    await consolidateAll(database.db, 'b');
    slice.end();
  });

  test('of banks that do not exist, or before the start, or after the stop, end in nothing', async () => {
    const { queue } = createRig(database.db);
    await queue.hint('b');
    await queue.start();
    await queue.hint('nowhere');
    await queue.stop();
    await queue.hint('b');
    expect(await jobRows(database.db)).toEqual([]);
  });
});

describe('the reconciler', () => {
  test('sends the job that was lost, at the start and later', async () => {
    await addMemories(database.db, 'b');
    const { queue } = await startRig();
    expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', trigger: 'reconciler' }]);
    await database.db.query('delete from pgboss.job');
    await queue.reconcile();
    expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', trigger: 'reconciler', state: 'created' }]);
    expect((await jobRows(database.db))[0]?.startsIn).toBeGreaterThan(25);
  });

  test('brings a job forward whose bank is due earlier: existence is not enough', async () => {
    await addMemories(database.db, 'b');
    const { queue } = await startRig();
    await delayJob('b', 'scheduled', '1 day');
    await queue.reconcile();
    expect((await jobRows(database.db))[0]?.startsIn).toBeLessThan(31);
  });

  test('leaves a job deferred for a day to its time, until a new memory comes', async () => {
    const script = async () => ({ outcome: 'deferred', retryAt: new Date(Date.now() + 86_400_000) }) as const;
    const { queue, engine } = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject([{ trigger: 'deferred' }]));
    await queue.reconcile();
    expect((await jobRows(database.db))[0]?.startsIn).toBeGreaterThan(86_000);
    expect(engine.calls).toHaveLength(1);

    await addMemories(database.db, 'b');
    await queue.reconcile();
    const [job] = await jobRows(database.db);
    expect(job).toMatchObject({ trigger: 'deferred' });
    expect(job?.startsIn).toBeLessThan(31);
  });

  test('brings a job that was deferred a day forward for a new memory; its slice defers again, and nothing fails', async () => {
    const script = async () => ({ outcome: 'deferred', retryAt: new Date(Date.now() + 86_400_000) }) as const;
    const { queue, engine } = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'b', { ageSeconds: 3600 });
    await queue.requestConsolidation('b');
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject([{ trigger: 'deferred' }]));
    await addMemories(database.db, 'b');
    await queue.hint('b');
    // Overdue as the bank is, its job keeps the quiet time of the deferral.
    await eventually(async () => expect((await jobRows(database.db))[0]?.startsIn).toBeLessThan(31));
    expect((await jobRows(database.db))[0]?.startsIn).toBeGreaterThan(20);
    await makeJobStart(database.db, 'b');
    await eventually(() => expect(engine.calls).toHaveLength(2));
    await eventually(async () => {
      const [job] = await jobRows(database.db);
      expect(job).toMatchObject({ trigger: 'deferred', state: 'created', retryCount: 0 });
      expect(job?.startsIn).toBeGreaterThan(86_000);
    });
  });

  test('a hint brings the deferred job forward too', async () => {
    const script = async () => ({ outcome: 'deferred', retryAt: new Date(Date.now() + 86_400_000) }) as const;
    const { queue } = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.requestConsolidation('b');
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject([{ trigger: 'deferred' }]));
    await addMemories(database.db, 'b');
    await queue.hint('b');
    await eventually(async () => expect((await jobRows(database.db))[0]?.startsIn).toBeLessThan(31));
  });

  test('finds rows that are tried again later, and nothing for banks without work', async () => {
    await addMemories(database.db, 'later');
    await database.db.query("update engram.memories set next_attempt_at = now() + interval '2 hours'");
    await addBank(database.db, 'idle');
    await addMemories(database.db, 'done');
    await consolidateAll(database.db, 'done');
    await startRig();
    const jobs = await jobRows(database.db);
    expect(jobs).toMatchObject([{ bankId: 'later' }]);
    expect(jobs[0]?.startsIn).toBeGreaterThan(7100);
  });

  test('does its other parts when one fails', async () => {
    const { queue } = await startRig({
      maintenance: [
        {
          name: 'broken',
          run: async () => {
            throw new Error('broken');
          },
        },
        { name: 'sound', run: (db) => db.query("insert into engram.banks (id) values ('sound')") },
      ],
    });
    expect((await database.db.query("select from engram.banks where id = 'sound'")).rowCount).toBe(1);
    await addMemories(database.db, 'b');
    // Once an hour, not with every comparison: a second insert would be an error, and none is made.
    await queue.reconcile();
    expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b' }]);
    // Even without the tables it reads, it does not throw.
    await database.db.query('alter table engram.banks rename to gone');
    await queue.reconcile();
    await database.db.query('alter table engram.gone rename to banks');
  });

  test('stops the hand-out and says so when a newer daemon has migrated the queue', async () => {
    const told: QueueSchemaNewerError[] = [];
    const { queue, engine } = await startRig({ onSchemaNewer: (error) => told.push(error) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await database.db.query('update pgboss.version set version = version + 1');
    await queue.reconcile();
    await eventually(() => expect(told).toMatchObject([{ code: 'QUEUE_SCHEMA_NEWER', exitCode: 2 }]));
    await queue.requestConsolidation('b');
    await queue.stop();
    expect(engine.calls).toEqual([]);
    expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', state: 'created' }]);
  });
});

describe('background embedding', () => {
  const embedAll = async (bankId: string) => {
    const { rowCount } = await database.db.query(
      "update engram.memories set embedding = '{1,0}', embedding_model = 'test/2' where bank_id = $1 and embedding is null",
      [bankId],
    );
    return { embedded: rowCount, remaining: 0 };
  };
  const unembedded = async () =>
    (await database.db.query('select from engram.memories where embedding is null')).rowCount;

  test('is hinted with the writing and folds a burst into one call', async () => {
    const calls: string[] = [];
    const { queue } = await startRig({
      embedPending: (bankId) => {
        calls.push(bankId);
        return embedAll(bankId);
      },
    });
    for (let written = 0; written < 5; written += 1) {
      await addMemories(database.db, 'b', { embedded: false });
      await queue.hint('b');
    }
    await eventually(async () => expect(await unembedded()).toBe(0));
    expect(calls).toEqual(['b']);
    await eventually(async () => expect(await jobRows(database.db, { queue: 'embed' })).toEqual([]));
  });

  test('goes on from batch to batch, and after rows that came meanwhile', async () => {
    let batches = 0;
    const { queue } = await startRig({
      embedPending: async (bankId) => {
        batches += 1;
        if (batches < 3) return { embedded: 1, remaining: 1 };
        const answer = await embedAll(bankId);
        if (batches === 3) await addMemories(database.db, 'b', { embedded: false });
        return answer;
      },
    });
    await addMemories(database.db, 'b', { embedded: false });
    await queue.hint('b');
    await eventually(async () => {
      expect(batches).toBeGreaterThanOrEqual(4);
      expect(await unembedded()).toBe(0);
    });
  });

  test('an embedder that is down is tried again in a minute, and burns no retry', async () => {
    class EmbedderDownError extends (await import('../../src/telemetry/engramd-error.ts')).EngramdError {
      readonly code = 'DOWN';
      override readonly retryable = true;
    }
    const { queue } = await startRig({
      embedPending: async () => {
        throw new EmbedderDownError('down');
      },
    });
    await addMemories(database.db, 'b', { embedded: false });
    await queue.hint('b');
    const embedJobs = () => jobRows(database.db, { queue: 'embed', ended: true });
    await eventually(async () =>
      expect(await embedJobs()).toMatchObject([{ state: 'completed' }, { trigger: 'deferred' }]),
    );
    expect((await embedJobs())[1]?.startsIn).toBeGreaterThan(50);
    // Hints and the reconciler leave it to its pause. The other queue's job shows when the hint has been dealt with.
    await database.db.query("update pgboss.job set start_after = now() + interval '1 day' where name = 'consolidate'");
    await addMemories(database.db, 'b', { embedded: false });
    await queue.hint('b');
    await eventually(async () => {
      const [job] = await jobRows(database.db, { queue: 'consolidate' });
      expect(job?.startsIn).toBeLessThan(31);
    });
    await queue.reconcile();
    expect((await embedJobs())[1]?.startsIn).toBeGreaterThan(50);
    expect(await queue.listJobs({ limit: 10, state: 'completed' })).toMatchObject([
      { queue: 'embed', outcome: 'deferred' },
    ]);
  });

  test('an embedder that says for how long is left alone for so long', async () => {
    const { BudgetSpentError } = await import('../../src/models/provider-errors.ts');
    const { queue } = await startRig({
      embedPending: async () => {
        throw new BudgetSpentError('spent', new Date(Date.now() + 3_600_000));
      },
    });
    await addMemories(database.db, 'b', { embedded: false });
    await queue.hint('b');
    const embedJobs = () => jobRows(database.db, { queue: 'embed', ended: true });
    await eventually(async () => expect(await embedJobs()).toMatchObject([{}, { trigger: 'deferred' }]));
    expect((await embedJobs())[1]?.startsIn).toBeGreaterThan(3500);
  });

  test('rows without a vector that nobody hinted are found', async () => {
    await addMemories(database.db, 'b', { embedded: false });
    await consolidateAll(database.db, 'b');
    await startRig({ embedPending: embedAll });
    await eventually(async () => expect(await unembedded()).toBe(0));
  });
});

describe('dead letters', () => {
  /** Runs the bank's job out of retries. */
  async function die(rig: Rig, bankId: string): Promise<void> {
    await rig.queue.requestConsolidation(bankId);
    await eventually(async () => expect(await jobRows(database.db)).toMatchObject([{ state: 'retry', bankId }]));
    await database.db.query("update pgboss.job set retry_limit = 1 where state = 'retry'");
    await makeJobStart(database.db, bankId);
    await eventually(async () => expect(await jobRows(database.db, { queue: 'dead-letter' })).toHaveLength(1));
  }

  test('a bank that fails over and over is held for an hour, then tried again', async () => {
    let isBroken = true;
    const script = async () => {
      if (isBroken) throw new Error('connection to postgres://user:hunter2@host failed');
      await consolidateAll(database.db, 'b');
      return { outcome: 'drained' } as const;
    };
    const rig = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await die(rig, 'b');
    expect(await rig.queue.snapshot()).toMatchObject({ deadLetters: 1 });
    const dead = await rig.queue.listJobs({ limit: 10, deadOnly: true });
    expect(dead).toMatchObject([{ queue: 'consolidate', bankId: 'b', state: 'dead', retries: 1 }]);
    // Once in the list, though it stands twice in the table.
    expect(await rig.queue.listJobs({ limit: 10 })).toHaveLength(1);

    await rig.queue.reconcile();
    const held = await jobRows(database.db, { queue: 'consolidate' });
    expect(held).toMatchObject([{ bankId: 'b', trigger: 'reconciler' }]);
    expect(held[0]?.startsIn).toBeGreaterThan(3500);
    await addMemories(database.db, 'b');
    await rig.queue.hint('b');
    await rig.queue.reconcile();
    expect((await jobRows(database.db, { queue: 'consolidate' }))[0]?.startsIn).toBeGreaterThan(3500);

    isBroken = false;
    await makeJobStart(database.db, 'b');
    await database.db.query(
      "update engram.memories set created_at = now() - interval '1 hour', next_attempt_at = now() - interval '1 hour'",
    );
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
    expect(await rig.queue.snapshot()).toMatchObject({ deadLetters: 0 });
  });

  test('jobs retry brings the bank back at once, past a held job', async () => {
    let isBroken = true;
    const script = async () => {
      if (isBroken) throw new Error('broken');
      await consolidateAll(database.db, 'b');
      return { outcome: 'drained' } as const;
    };
    const rig = await startRig({ engine: createScriptedEngine({ script }) });
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await die(rig, 'b');
    await rig.queue.reconcile();
    isBroken = false;
    const [letter] = await rig.queue.listJobs({ limit: 1, deadOnly: true });
    expect(await rig.queue.retryJobs(['00000000-0000-4000-8000-000000000000'])).toBe(0);
    expect(await rig.queue.retryJobs([letter?.id ?? ''])).toBe(1);
    await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
    expect((await database.db.query("select from engram.memories where state = 'pending'")).rowCount).toBe(0);
    expect(await rig.queue.retryJobs()).toBe(0);
  });

  test('parked memories come back and their bank is due', async () => {
    const { queue, engine } = await startRig();
    const ids = await addMemories(database.db, 'b', { count: 2 });
    await database.db.query("update engram.memories set state = 'parked', state_reason = 'no_progress', attempts = 5");
    expect(await queue.retryParked('nowhere')).toEqual({ memories: 0, scores: 0 });
    expect(await queue.retryParked('b', ids.slice(0, 1))).toEqual({ memories: 1, scores: 0 });
    const slice = await engine.next();
    expect(slice.options).toMatchObject({ bankId: 'b', trigger: 'requested' });
    expect(await queue.retryParked(null)).toEqual({ memories: 1, scores: 0 });
    await consolidateAll(database.db, 'b');
    slice.end();
  });
});
