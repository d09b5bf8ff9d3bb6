import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkBackupDir, checkBackups } from '../../src/cli/doctor-backups.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const folder = createScratchFolder();
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  removeScratchFolder(folder);
  await database.drop();
});

describe('doctor, of the backup directory', () => {
  it('says whether backups can be written there, and makes nothing', () => {
    expect(checkBackupDir(folder)).toMatchObject({ status: 'ok', detail: `${folder}: writable` });
    const later = join(folder, 'not', 'yet');
    expect(checkBackupDir(later)).toMatchObject({ status: 'ok', detail: `${later}: not made yet` });
  });

  it('a file in its place is no directory', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(checkBackupDir(join(file, 'backups'))).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('is no directory'),
      advice: expect.stringContaining('ENGRAMD_BACKUP_DIR'),
    });
  });

  it('one that may not be written is told', () => {
    // Root may write everywhere.
    const refused = () => {
      throw new Error('EACCES: permission denied');
    };
    expect(checkBackupDir(folder, refused)).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('EACCES'),
      advice: expect.stringContaining('ENGRAMD_BACKUP_DIR'),
    });
  });
});

describe('doctor, of backups', () => {
  const insert = (ageHours: number, status: string, error: string | null = null) =>
    database.db.query(
      `insert into engram.backups (id, instance_id, host, trigger, status, started_at, finished_at, error_code, error)
       select gen_random_uuid(), gen_random_uuid(), 'h', 'due', $2, at, at, case when $3::text is null then null else 'E' end, $3
       from (select now() - $1 * interval '1 h' as at) t`,
      [ageHours, status, error],
    );

  it('a new database has none yet, which is no trouble; a day without one is, and why', async () => {
    expect(await checkBackups(database.db)).toMatchObject({ status: 'ok', detail: 'none has been verified yet' });
    await database.db.query("update engram.lifecycle set born_at = now() - interval '30 h'");
    expect(await checkBackups(database.db)).toMatchObject({
      status: 'warn',
      advice: expect.stringContaining('backup now'),
    });
    await insert(27, 'verified');
    await insert(3, 'failed', 'the backup directory is full');
    expect(await checkBackups(database.db)).toMatchObject({
      status: 'warn',
      detail: 'the last one was verified 27.0 h ago',
      advice: 'the backup directory is full',
    });
    await insert(2, 'unchanged');
    expect(await checkBackups(database.db)).toMatchObject({
      status: 'ok',
      detail: 'the last one was verified 2.0 h ago',
    });
  });
});
