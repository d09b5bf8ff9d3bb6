import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { BackupUnverifiedError } from '../../src/backup/backup-errors.ts';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import type { BackupOutcome, Backups, VerifyBackup } from '../../src/backup/backup-store.ts';
import { type BackupsDeps, createBackups } from '../../src/backup/create-backups.ts';
import { openDump } from '../../src/backup/dump.ts';
import { checkFiles } from '../../src/backup/table-files.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createRaceControl, type RaceControl } from '../support/race-control.ts';
import { settled } from '../support/settled.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { seedStore } from './seeded-store.ts';

/** Backups of a small store into a folder of their own. Their verification reads the files, and fails when told to. */
export interface BackupsRig {
  readonly database: TestDatabase;
  readonly directory: string;
  readonly races: RaceControl;
  /** What the next verifications throw; null: they read the files and find them good. */
  failure: Error | null;
  readonly deps: BackupsDeps;
  readonly backups: Backups;
  with(deps: Partial<BackupsDeps>): Backups;
  take(backups?: Backups): Promise<BackupOutcome>;
  /** Names in the backup directory, oldest first. */
  names(): string[];
  /** Rows that tell of backups, oldest first. */
  rows(): Promise<{ status: string; folder: string | null; error_code: string | null }[]>;
  /** As if none had ever been taken; what was written before is old to every snapshot from now on. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export const work = { signal: new AbortController().signal, onProgress: () => undefined };

export async function createBackupsRig(): Promise<BackupsRig> {
  const database = await createTestDatabase({ poolMax: 6 });
  const { db, metrics, connectionString } = database;
  const parent = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  const directory = join(parent, 'backups');
  const races = createRaceControl();
  await seedStore(db, { banks: 1, memories: 20 });
  const verify: VerifyBackup = async (folder, manifest, { signal }) => {
    await races.reach('backup:verifying');
    await checkFiles({ folder, manifest }, signal);
    if (rig.failure) throw rig.failure;
  };
  const deps: BackupsDeps = {
    connectionString,
    db,
    directory,
    keep: 14,
    instanceId: uuid(),
    host: 'here',
    version: '0.0.0',
    clock: systemClock,
    log: silentLog,
    metrics,
    racepoints: races,
    newId: uuid,
    verify,
    openDump: (options) => openDump({ ...options, files: nodeFiles }),
    syncErasures: async () => undefined,
  };
  const rig: BackupsRig = {
    database,
    directory,
    races,
    failure: null,
    deps,
    backups: createBackups(deps),
    with: (other) => createBackups({ ...deps, ...other }),
    take: (backups = rig.backups) => backups.take({ trigger: 'asked', force: false, ...work }),
    names: () => readdirSync(directory).sort(),
    async rows() {
      const { rows } = await db.query<{ status: string; folder: string | null; error_code: string | null }>(
        'select status, folder, error_code from engram.backups order by started_at',
      );
      return rows;
    },
    async reset() {
      races.clear();
      rig.failure = null;
      rmSync(directory, { recursive: true, force: true });
      await db.query('delete from engram.backups');
      await settled(db);
    },
    async close() {
      await database.drop();
      rmSync(parent, { recursive: true, force: true });
    },
  };
  return rig;
}

export const differs = new BackupUnverifiedError('one row of memories differs');

/** Something to be backed up that was not there before. */
export async function remember(rig: BackupsRig, text: string): Promise<void> {
  await rig.database.db.query('insert into engram.memories (bank_id, id, text) values ($1, $2, $3)', [
    'bank-1',
    uuid(),
    text,
  ]);
}
