import { appendFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BackupStorageError } from '../../src/backup/backup-errors.ts';
import {
  appendErasures,
  erasureLogFile,
  erasuresOf,
  noteErasure,
  readErasures,
  syncErasures,
} from '../../src/backup/erasure-log.ts';
import { readStoreId } from '../../src/store/store-origin.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
let scratch: string;
/** Not made yet. */
let directory: string;
beforeAll(async () => {
  database = await createTestDatabase();
  own = await readStoreId(database.db);
});
beforeEach(() => {
  scratch = createScratchFolder();
  directory = join(scratch, 'far', 'backups');
});
afterEach(async () => {
  removeScratchFolder(scratch);
  await database.db.query('truncate engram.erasures');
});
afterAll(() => database.drop());

const idOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const at = new Date('2026-03-01T02:03:04.567Z');
let own: string;
const other = '11111111-1111-4111-8111-111111111111';
/** Null: as lines were before they said it. */
const erasure = (n: number, store: string | null = own, bankId = 'home') => ({
  bankId,
  memoryId: idOf(n),
  erasedAt: at,
  store,
});
const file = () => join(directory, erasureLogFile);

async function erase(...numbers: readonly number[]): Promise<void> {
  await database.db.query(
    `insert into engram.erasures (bank_id, memory_id, erased_at) select 'home', id, $2 from unnest($1::uuid[]) as id`,
    [numbers.map(idOf), at],
  );
}

describe('the log of what was forgotten', () => {
  test('that is not there is empty', async () => {
    expect(await readErasures(directory)).toEqual({ erasures: [], unreadable: 0 });
  });

  test('says each memory once a store, of whichever bank, and is only for whoever runs the daemon', async () => {
    await appendErasures(directory, [erasure(1), erasure(2)]);
    await appendErasures(directory, [erasure(2), erasure(1, own, 'Büro "2"\n'), erasure(2, other), erasure(2, null)]);
    expect(await readErasures(directory)).toEqual({
      erasures: [erasure(1), erasure(2), erasure(1, own, 'Büro "2"\n'), erasure(2, other), erasure(2, null)],
      unreadable: 0,
    });
    expect([statSync(directory).mode & 0o777, statSync(file()).mode & 0o777]).toEqual([0o700, 0o600]);
    expect(readFileSync(file(), 'utf8').split('\n')[0]).toBe(
      `{"bankId":"home","memoryId":"${idOf(1)}","erasedAt":"2026-03-01T02:03:04.567Z","store":"${own}"}`,
    );
  });

  test('is for a restore what is of its stores, and what was written before lines said of which they are', () => {
    const all = [erasure(1), erasure(2, other), erasure(3, null)];
    expect(erasuresOf(all, [own, null])).toEqual([erasure(1), erasure(3, null)]);
    expect(erasuresOf(all, [own, other])).toEqual(all);
  });

  test('bears a last line that a crash has cut off, and what comes behind it stands by itself', async () => {
    await appendErasures(directory, [erasure(1)]);
    appendFileSync(file(), '{"bankId":"home","memoryId":"0000');
    expect(await readErasures(directory)).toEqual({ erasures: [erasure(1)], unreadable: 1 });
    await appendErasures(directory, [erasure(2)]);
    expect(await readErasures(directory)).toEqual({ erasures: [erasure(1), erasure(2)], unreadable: 1 });
  });

  test('counts lines that name nothing, and reads on behind them', async () => {
    await appendErasures(directory, [erasure(1)]);
    appendFileSync(file(), `null\n{"bankId":"home","memoryId":"7","erasedAt":"now"}\n\u0000\n`);
    await appendErasures(directory, [erasure(2)]);
    expect(await readErasures(directory)).toEqual({ erasures: [erasure(1), erasure(2)], unreadable: 3 });
  });

  test('takes what several processes add at once', async () => {
    await appendErasures(directory, [erasure(0)]);
    await Promise.all(Array.from({ length: 20 }, (_, n) => appendErasures(directory, [erasure(n + 1)])));
    const { erasures, unreadable } = await readErasures(directory);
    expect([erasures.length, unreadable]).toEqual([21, 0]);
  });

  test('that cannot be written or read says so and names the setting', async () => {
    mkdirSync(join(scratch, 'far'));
    writeFileSync(directory, 'a file in its place');
    await expect(appendErasures(directory, [erasure(1)])).rejects.toThrow(BackupStorageError);
    await expect(appendErasures(directory, [erasure(1)])).rejects.toThrow(/not a directory.*ENGRAMD_BACKUP_DIR/);
    await expect(readErasures(directory)).rejects.toThrow(BackupStorageError);
  });
});

describe('brought up to date from the database', () => {
  test('the log gets what it lacks, and nothing twice', async () => {
    await erase(1, 2, 3);
    await appendErasures(directory, [erasure(2), erasure(9)]);
    expect(await syncErasures(database.db, directory)).toBe(2);
    expect((await readErasures(directory)).erasures).toEqual([erasure(2), erasure(9), erasure(1), erasure(3)]);
    expect(await syncErasures(database.db, directory)).toBe(0);
    expect(readFileSync(file(), 'utf8').trimEnd().split('\n')).toHaveLength(4);
  });

  test('the log gets what only another store has, and not what it says without one', async () => {
    await erase(1, 2, 3);
    await appendErasures(directory, [erasure(1, other), erasure(2, null)]);
    expect(await syncErasures(database.db, directory)).toBe(2);
    expect((await readErasures(directory)).erasures.slice(2)).toEqual([erasure(1), erasure(3)]);
    expect(await syncErasures(database.db, directory)).toBe(0);
  });

  test('the log gets those of a store that is older than its id, without one', async () => {
    await erase(1);
    await database.db.query('alter table engram.store rename column id to old_id');
    try {
      expect(await syncErasures(database.db, directory)).toBe(1);
      expect(await syncErasures(database.db, directory)).toBe(0);
    } finally {
      await database.db.query('alter table engram.store rename column old_id to id');
    }
    expect((await readErasures(directory)).erasures).toEqual([erasure(1, null)]);
    expect(await syncErasures(database.db, directory)).toBe(0);
  });

  test('the log gets them all, however many there are', async () => {
    await database.db.query(
      `insert into engram.erasures (bank_id, memory_id)
       select 'bank-' || n % 3, gen_random_uuid() from generate_series(1, 10001) as n`,
    );
    expect(await syncErasures(database.db, directory)).toBe(10_001);
    expect((await readErasures(directory)).erasures).toHaveLength(10_001);
  });
});

describe('an erasure noted after its commit', () => {
  test('stands in the log as the database has it', async () => {
    await erase(1, 2);
    await noteErasure({ db: database.db, directory, log: silentLog }, { bankId: 'home', memoryId: idOf(2) });
    expect((await readErasures(directory)).erasures).toEqual([erasure(2)]);
  });

  test('that cannot be written is a warning and no failure, and comes with the next sync', async () => {
    await erase(1);
    const lines: string[] = [];
    const log = createLog({ level: 'warn', pretty: false, destination: { write: (line) => lines.push(line) } });
    mkdirSync(join(scratch, 'far'));
    writeFileSync(directory, 'a file in its place');
    await noteErasure({ db: database.db, directory, log }, { bankId: 'home', memoryId: idOf(1) });
    expect(lines).toEqual([expect.stringContaining('forgotten but not in the log beside the backups yet')]);
    const elsewhere = join(scratch, 'elsewhere');
    expect(await syncErasures(database.db, elsewhere)).toBe(1);
  });
});
