import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BackupDamagedError, BackupNewerError, RestoreRefusedError } from '../../src/backup/backup-errors.ts';
import { probeHits } from '../../src/backup/probe.ts';
import type { Database } from '../../src/db/database.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { DatabaseNewerError } from '../../src/db/errors.ts';
import { tryShareStore } from '../../src/db/store-lock.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { type BlankDatabase, createBlankDatabase } from '../db/blank-database.ts';
import { createRaceControl } from '../support/race-control.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import {
  alterFile,
  catalogOf,
  contentsIn,
  contentsOf,
  migrations,
  onSession,
  restore,
  rewriteManifest,
  type TakenBackup,
  takeBackup,
} from './backup-bench.ts';
import { idOf, seedStore } from './seeded-store.ts';

/** What a restore changes of what it loads: who was alive is not, and what was under way has ended. */
const settled = ['instances', 'attempts', 'sleep_cycles'];

let source: TestDatabase;
let folder: string;
let backup: TakenBackup;
beforeAll(async () => {
  source = await createTestDatabase();
  folder = createScratchFolder();
  await seedStore(source.db, { banks: 2, memories: 200 });
  backup = await takeBackup(source.connectionString, folder);
});
afterAll(async () => {
  removeScratchFolder(folder);
  await source.drop();
});

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

const except = <T>(all: Record<string, T>, names: readonly string[]) =>
  Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)));

describe('into an empty database', () => {
  let blank: BlankDatabase;
  let db: Database;
  beforeEach(async () => {
    blank = await createBlankDatabase();
    db = blank.open();
  });
  afterEach(() => blank.drop());

  test('every table comes back as it was, and so does all that is around it', async () => {
    const report = await restore(backup, { connectionString: blank.connectionString });
    expect(report).toMatchObject({ epoch: 2, replaced: { banks: 0, memories: 0 }, erasuresDue: 1, jobsDeleted: 0 });
    const restored = await contentsOf(blank.connectionString);
    expect(except(restored, settled)).toEqual(except(contentsIn(backup.manifest), settled));
    expect(Object.entries(restored).map(([name, { rows }]) => [name, rows])).toEqual(
      backup.manifest.tables.map(({ name, rows }) => [name, rows]),
    );
    expect(await catalogOf(blank.connectionString)).toEqual(await catalogOf(source.connectionString));
  });

  test('nobody is alive in it, nothing is under way, and it says where it came from', async () => {
    await restore(backup, { connectionString: blank.connectionString });
    const one = async (text: string) => (await db.query(text)).rows[0];
    expect(await one('select epoch, restored_from, restored_at is not null as told from engram.store')).toEqual({
      epoch: 2,
      restored_from: backup.manifest.id,
      told: true,
    });
    expect(await one('select count(*)::int as alive from engram.instances where stopped_at is null')).toEqual({
      alive: 0,
    });
    expect(await one('select outcome from engram.attempts')).toEqual({ outcome: 'handed_back' });
    expect(await one('select outcome from engram.sleep_cycles')).toEqual({ outcome: 'abandoned' });
    expect(await one('select state, version from engram.lifecycle')).toEqual({ state: 'wake', version: 1 });
  });

  test('triggers, generated columns and ids go on from where they were', async () => {
    await restore(backup, { connectionString: blank.connectionString });
    const memory = idOf('1', 1);
    await db.query(
      `update engram.memories set text = 'the lighthouse keeper has left' where bank_id = 'bank-1' and id = $1`,
      [memory],
    );
    const { rows } = await db.query(
      `select m.version, m.state, m.embedding, m.content_hash = engram.content_hash(m.text) as hashed,
         (select needs_replan_at is not null from engram.observations o where o.bank_id = m.bank_id and o.id = $2) as marked
       from engram.memories m where m.bank_id = 'bank-1' and m.id = $1`,
      [memory, idOf('f', 1)],
    );
    expect(rows).toEqual([{ version: 2, state: 'pending', embedding: null, hashed: true, marked: true }]);
    const found = await probeHits(db, { bankId: 'bank-1', query: 'departed keeper of a lighthouse' });
    expect(found.map(({ id }) => id)).toEqual([memory]);
    const { rows: newest } = await db.query(
      `select kind, memory_id, id > (select last from (select max(id) as last from engram.events where kind = 'memory.added') as a)
         as is_later
       from engram.events order by id desc limit 1`,
    );
    expect(newest).toEqual([{ kind: 'memory.edited', memory_id: memory, is_later: true }]);
    await expect(db.query(`delete from engram.banks where id = 'bank-1'`)).resolves.toMatchObject({ rowCount: 1 });
    const { rows: left } = await db.query(`select count(*)::int as n from engram.memories where bank_id = 'bank-1'`);
    expect(left).toEqual([{ n: 0 }]);
  });

  test('no row stands in the future of its transaction ids, however young the database is', async () => {
    await restore(backup, { connectionString: blank.connectionString });
    const { rows } = await db.query(
      `select (select count(*)::int from engram.memories where change_xid >= pg_snapshot_xmax(s)) as memories,
         (select count(*)::int from engram.observations where change_xid >= pg_snapshot_xmax(s)) as observations,
         (select count(*)::int from engram.events where change_xid >= pg_snapshot_xmax(s)) as events,
         (select count(distinct change_xid)::int from engram.memories) as transactions
       from pg_current_snapshot() as s`,
    );
    expect(rows).toEqual([{ memories: 0, observations: 0, events: 0, transactions: 1 }]);

    // A matrix that is kept from then on learns of what is written afterwards.
    const index = createExactIndex({ db, log: silentLog });
    const nearest = async (vector: readonly number[]) => {
      const query = { bankId: 'bank-1', target: 'memories', model: 'test/model', limit: 1, liveOnly: true } as const;
      const [hits] = await index.nearest([{ ...query, vector: Float32Array.from(vector) }]);
      return hits?.map(({ id }) => id);
    };
    const vectorOf = (n: number) => Array.from({ length: 8 }, (_, d) => Math.sin(n * (d + 1)));
    expect(await nearest(vectorOf(7))).toEqual([idOf('1', 7)]);
    await db.query(
      `insert into engram.memories (bank_id, id, text, embedding, embedding_model) values ('bank-1', $1, 'new', $2, 'test/model')`,
      [idOf('2', 1), [9, -9, 9, -9, 9, -9, 9, -9]],
    );
    expect(await nearest([1, -1, 1, -1, 1, -1, 1, -1])).toEqual([idOf('2', 1)]);
    await index.release();
  });

  test('of a backup of an older schema: what has been added since comes on top', async () => {
    const text = `alter table engram.memories add column mood text not null default 'calm';
      update engram.memories set mood = 'stormy' where text like '%lighthouse%';
      alter table engram.memories add check (mood <> '');
      create table engram.tides (bank_id text references engram.banks (id) on delete cascade, height integer);`;
    // What the first writes is checked at the end of a transaction, and the second alters that table.
    const fold = `update engram.observations set superseded_by = '${idOf('f', 7)}' where id = '${idOf('f', 8)}'`;
    const version = migrations.length + 2;
    const more = [
      ...migrations,
      { version: version - 1, name: 'next.sql', sql: `${text} ${fold}`, checksum: 'next' },
      { version, name: 'last.sql', sql: 'alter table engram.observations add column depth integer', checksum: 'last' },
    ];
    await restore(backup, { connectionString: blank.connectionString, migrations: more });
    const { rows } = await db.query('select mood, count(*)::int as n from engram.memories group by 1 order by 1');
    expect(rows).toEqual([
      { mood: 'calm', n: 398 },
      { mood: 'stormy', n: 2 },
    ]);
    expect((await db.query('select max(version) as version from engram.migrations')).rows).toEqual([{ version }]);
  });

  test('where somebody else has made the schema for us', async () => {
    await db.query('create schema engram; create table engram.notes_of_mine (text text)');
    await restore(backup, { connectionString: blank.connectionString });
    expect((await db.query('select count(*)::int as n from engram.memories')).rows).toEqual([{ n: 400 }]);
    expect((await db.query('select count(*)::int as n from engram.notes_of_mine')).rows).toEqual([{ n: 0 }]);
  });
});

describe('into a database that is in use', () => {
  let target: TestDatabase;
  beforeEach(async () => {
    target = await createTestDatabase();
    await target.db.query(`insert into engram.banks (id) values ('mine')`);
    await target.db.query(`insert into engram.memories (bank_id, id, text) values ('mine', $1, 'what stands here')`, [
      idOf('9', 1),
    ]);
  });
  afterEach(() => target.drop());

  const connection = () => ({ connectionString: target.connectionString });

  async function asItWas(work: () => Promise<unknown>): Promise<unknown> {
    const [contents, catalog] = [await contentsOf(target.connectionString), await catalogOf(target.connectionString)];
    const failure = await failureOf(work());
    expect(await contentsOf(target.connectionString)).toEqual(contents);
    expect(await catalogOf(target.connectionString)).toEqual(catalog);
    return failure;
  }

  test('it is refused, and says what is there and how to replace it', async () => {
    const failure = await asItWas(() => restore(backup, connection()));
    expect(failure).toBeInstanceOf(RestoreRefusedError);
    expect(failure).toMatchObject({ exitCode: 4 });
    expect(String(failure)).toMatch(/holds 1 memory in 1 bank, .*say --replace .*nothing was changed/);
  });

  test('it takes the place of what is there where that is said', async () => {
    const report = await restore(backup, { ...connection(), replace: true });
    expect(report).toMatchObject({ epoch: 2, replaced: { banks: 1, memories: 1 } });
    expect(except(await contentsOf(target.connectionString), settled)).toEqual(
      except(contentsIn(backup.manifest), settled),
    );
    expect(await catalogOf(target.connectionString)).toEqual(await catalogOf(source.connectionString));
    // Once more, over itself: what only grows goes on.
    await target.db.query('update engram.store set epoch = 9');
    await target.db.query('update engram.lifecycle set version = 40, tick = 41');
    await target.db.query('update engram.leader set fence = 42');
    expect(await restore(backup, { ...connection(), replace: true })).toMatchObject({ epoch: 10 });
    const { rows } = await target.db.query('select version, tick, fence from engram.lifecycle, engram.leader');
    expect(rows).toEqual([{ version: 41, tick: 41, fence: 42 }]);
  });

  test('a daemon that shares the store keeps it out, and is named', async () => {
    const daemon = await openDirectSession({ ...connection(), applicationName: 'engramd daemon' });
    expect(await tryShareStore(daemon)).toBe(true);
    const failure = await asItWas(() => restore(backup, { ...connection(), replace: true }));
    await daemon.close();
    expect(failure).toBeInstanceOf(RestoreRefusedError);
    expect(String(failure)).toMatch(
      /the database is at work: engramd daemon from .* \(backend \d+\)\. Stop every engramd/,
    );
  });

  test('who begins to write meanwhile waits, and is told that the store is another one', async () => {
    const races = createRaceControl();
    const hold = races.hold('restore:before-commit');
    const restoring = restore(backup, { ...connection(), replace: true, racepoints: races });
    await hold.reached;
    const writing = onSession(target.connectionString, (session) => session.query('select engram.hold_store(1)'));
    const failure = failureOf(writing);
    const waiting = `select from pg_locks where relation = 'engram.store'::regclass and not granted`;
    await expect.poll(async () => (await target.db.query(waiting)).rowCount, { timeout: 20_000 }).toBe(1);
    hold.release();
    await restoring;
    expect(await failure).toMatchObject({ code: 'EN001' });
  });

  test('who is at writing when it begins comes to an end first', async () => {
    const waiting = `select from pg_locks where relation = 'engram.store'::regclass and not granted`;
    let restoring: Promise<unknown> | undefined;
    await target.db.tx({ label: 'a writer' }, async (tx) => {
      await tx.query('select engram.hold_store(1)');
      restoring = restore(backup, { ...connection(), replace: true });
      await expect
        .poll(() => onSession(target.connectionString, async (session) => (await session.query(waiting)).rowCount), {
          timeout: 20_000,
        })
        .toBe(1);
      await tx.query(`update engram.memories set text = 'written to the end' where bank_id = 'mine'`);
      await tx.query(`insert into engram.erasures (bank_id, memory_id) values ('bank-1', $1)`, [idOf('1', 5)]);
    });
    // What it forgot stays forgotten, beside what the backup itself had not come to.
    expect(await restoring).toMatchObject({ replaced: { banks: 1, memories: 1 }, erasuresDue: 2 });
  });

  test.each([
    [
      'truncated',
      (taken: TakenBackup) => alterFile(taken, 'memories.copy.gz', (b) => b.subarray(0, -9)),
      /is truncated/,
    ],
    [
      'flipped in one byte',
      (taken: TakenBackup) =>
        alterFile(taken, 'memories.copy.gz', (b) => {
          b[99] = (b[99] ?? 0) ^ 8;
          return b;
        }),
      /was altered/,
    ],
    ['without a file', (taken: TakenBackup) => rmSync(join(taken.folder, 'memories.copy.gz')), /is missing/],
  ])('a backup that is %s is refused before anything is touched', async (_, damage, reason) => {
    const copy = { folder: join(folder, `copy-${reason.source.replaceAll(/\W/g, '-')}`), manifest: backup.manifest };
    cpSync(backup.folder, copy.folder, { recursive: true });
    damage(copy);
    const races = createRaceControl();
    const failure = await asItWas(() => restore(copy, { ...connection(), replace: true, racepoints: races }));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toMatch(reason);
    expect(races.visits('restore:loaded')).toBe(0);
    // Not even the server was asked.
    const nowhere = 'postgresql://nobody@127.0.0.1:1/none';
    expect(await failureOf(restore(copy, { connectionString: nowhere }))).toBeInstanceOf(BackupDamagedError);
  });

  test('a backup of a newer engramd is refused, and so is a database of one', async () => {
    const newer = { ...backup, manifest: { ...backup.manifest, schema: 99 } };
    expect(await asItWas(() => restore(newer, { ...connection(), replace: true }))).toBeInstanceOf(BackupNewerError);
    await target.db.query(`insert into engram.migrations (version, name, checksum) values (99, 'later', 'x')`);
    expect(await asItWas(() => restore(backup, { ...connection(), replace: true }))).toBeInstanceOf(DatabaseNewerError);
  });

  test('rows that do not fit together come to nothing, after all that went before', async () => {
    const copy = { folder: join(folder, 'copy-misfit'), manifest: backup.manifest };
    cpSync(backup.folder, copy.folder, { recursive: true });
    const tables = backup.manifest.tables.filter(({ name }) => name !== 'banks');
    const failure = await asItWas(() => restore(rewriteManifest(copy, { tables }), { ...connection(), replace: true }));
    expect(failure).toBeInstanceOf(BackupDamagedError);
  });

  test.each(['restore:loaded', 'restore:before-commit'] as const)(
    'called off at %s, the target is as it was',
    async (point) => {
      const races = createRaceControl();
      const stop = new AbortController();
      races.at(point, () => stop.abort(new Error('called off')));
      const failure = await asItWas(() =>
        restore(backup, { ...connection(), replace: true, racepoints: races, signal: stop.signal }),
      );
      expect(failure).toEqual(new Error('called off'));
    },
  );

  test('called off while its rows are on their way, the target is as it was', async () => {
    const stop = new AbortController();
    const failure = await asItWas(() =>
      restore(backup, {
        ...connection(),
        replace: true,
        signal: stop.signal,
        onProgress: ({ table, totalRows }) => {
          // Its COPY has begun by then.
          if (table === 'memories' && totalRows !== null) setImmediate(() => stop.abort(new Error('called off')));
        },
      }),
    );
    expect(failure).toEqual(new Error('called off'));
  });

  test('who does not come to an end is waited for no longer than that, and it is refused', async () => {
    const failure = await asItWas(() =>
      target.db.tx({ label: 'psql' }, async (tx) => {
        await tx.query('select count(*) from engram.memories');
        await restore(backup, { ...connection(), replace: true, lockWaitMs: 50 });
      }),
    );
    expect(failure).toBeInstanceOf(RestoreRefusedError);
    expect(String(failure)).toContain(
      'somebody is at work on the tables of the database and did not come to an end in',
    );
  });

  test('what somebody else has built on the tables is not taken away with them', async () => {
    await target.db.query('create view public.my_memories as select text from engram.memories');
    const failure = await asItWas(() => restore(backup, { ...connection(), replace: true }));
    expect(failure).toBeInstanceOf(RestoreRefusedError);
    expect(String(failure)).toMatch(/rests on its tables.*view my_memories/);
  });

  test('what was forgotten since stays forgotten, told by the target and by the log', async () => {
    const [here, logged, gone] = [idOf('1', 5), idOf('1', 6), idOf('1', 9_999)];
    await target.db.query(
      `insert into engram.erasures (bank_id, memory_id, observation_ids) values ('bank-1', $1, array[$2::uuid]), ('bank-1', $3, '{}')`,
      [here, idOf('f', 5), gone],
    );
    const erasedAt = new Date('2024-06-01T00:00:00Z');
    const report = await restore(backup, {
      ...connection(),
      replace: true,
      erasures: [{ bankId: 'bank-1', memoryId: logged, erasedAt }],
    });
    // And the one that the backup itself had not come to.
    expect(report.erasuresDue).toBe(4);
    const { rows: due } = await target.db.query<{ memory_id: string }>(
      'select memory_id from engram.erasures_due order by memory_id',
    );
    expect(due.map((row) => row.memory_id)).toEqual([here, logged, gone, '1fffffff-0000-4000-8000-000000000002']);
    const { rows: told } = await target.db.query(
      `select observation_ids from engram.erasures where bank_id = 'bank-1' and memory_id = $1`,
      [here],
    );
    expect(told).toEqual([{ observation_ids: [idOf('f', 5)] }]);
    const { rows: when } = await target.db.query('select erased_at from engram.erasures where memory_id = $1', [
      logged,
    ]);
    expect(when).toEqual([{ erased_at: erasedAt }]);
  });

  test('what was spent since stays spent', async () => {
    await target.db.query(
      `insert into engram.budget_ledger (day, nano_usd, tokens, unpriced_tokens, calls)
       values ('2024-05-07', 2000, 10, 5, 3), ('2024-05-08', 7, 7, 7, 7)`,
    );
    await target.db.query(
      `insert into engram.model_calls (id, day, instance_id, purpose, endpoint, model, request_hash, prompt_bytes,
         nano_usd, tokens, unpriced_tokens)
       values ($1, '2024-05-08', $2, 'embed', 'http://there', 'm', '\\x09', 1, 7, 7, 7)`,
      [idOf('c', 1), idOf('e', 2)],
    );
    await restore(backup, { ...connection(), replace: true });
    const { rows } = await target.db.query(
      'select day::text, nano_usd, tokens, unpriced_tokens, calls from engram.budget_ledger order by day',
    );
    expect(rows).toEqual([
      { day: '2024-05-06', nano_usd: 400, tokens: 40, unpriced_tokens: 0, calls: 1 },
      { day: '2024-05-07', nano_usd: 2000, tokens: 90, unpriced_tokens: 5, calls: 3 },
      { day: '2024-05-08', nano_usd: 7, tokens: 7, unpriced_tokens: 7, calls: 7 },
    ]);
    const { rows: calls } = await target.db.query('select id, request_hash from engram.model_calls where id = $1', [
      idOf('c', 1),
    ]);
    expect(calls).toEqual([{ id: idOf('c', 1), request_hash: Buffer.from([9]) }]);
  });
});
