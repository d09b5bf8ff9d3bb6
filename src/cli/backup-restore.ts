import { hostname } from 'node:os';
import { dirname, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { v7 as uuidV7 } from 'uuid';
import { BackupDamagedError, RestoreRefusedError } from '../backup/backup-errors.ts';
import { assertSomeVerified, chooseToRestore } from '../backup/choose-backup.ts';
import { erasuresOf, readErasures, syncErasures } from '../backup/erasure-log.ts';
import type { Manifest } from '../backup/manifest.ts';
import { assertOneDatabase } from '../backup/one-database.ts';
import { type RestoreReport, restoreStore } from '../backup/restore-store.ts';
import { findBackup, listBackups, readManifest } from '../backup/stored-backups.ts';
import type { Config } from '../config/schema.ts';
import { carryOutDueErasures } from '../curation/due-erasures.ts';
import { DataDirInUseError } from '../daemon/instance-lock.ts';
import { type OpenDatabase, openDatabase, storeMigrations } from '../daemon/open-database.ts';
import { createReleasers } from '../daemon/releasers.ts';
import { version } from '../daemon/version.ts';
import type { Database } from '../db/database.ts';
import { emptyQueues } from '../queue/empty-queues.ts';
import { placeJobs } from '../queue/place-jobs.ts';
import { hasErasures } from '../store/erasures-due.ts';
import { finishInstance, insertInstance } from '../store/instances.ts';
import { isEmptyStore, readStoreIdentity } from '../store/store-origin.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { inertRacepoints, type Racepoints } from '../telemetry/racepoints.ts';
import { backupDirOf } from './backup-dir-option.ts';
import { showBackupProgress } from './backup-progress.ts';
import { type CommandContext, commandLog, globalOptions, loadSettings, noteWarnings } from './command-context.ts';

export interface AddRestoreOptions {
  readonly racepoints?: Racepoints;
  /** For the embedded server only. */
  readonly extraServerSettings?: Readonly<Record<string, string>>;
}

/** Adds `restore` to the command `backup`. */
export function addRestore(backup: Command, context: CommandContext, options: AddRestoreOptions = {}): void {
  backup
    .command('restore [name]')
    .summary('put a backup in the place of the database')
    .description(
      'Puts a backup in the place of what the database holds, all of it or nothing: the newest that was verified, the one named, or the one in a folder. Every engramd on the database has to be stopped first. What was forgotten since the backup stays forgotten.',
    )
    .option('--replace', 'although the database holds memories: they go')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd backup restore --replace
  $ engramd backup restore 2026-03-01T03-00-00Z-0198c1f0
  $ DATABASE_URL=postgres://owner@other/engram engramd backup restore /mnt/backups/2026-03-01T03-00-00Z-0198c1f0`,
    )
    .action(async (name: string | undefined, flags: { replace?: true }, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals, backupDirOf(command));
      noteWarnings(context, loaded);
      const restore = await context.interruptible((signal) =>
        carryOut({
          context,
          config: loaded.config,
          log: commandLog(loaded),
          name: name ?? null,
          replace: flags.replace === true,
          signal,
          racepoints: options.racepoints ?? inertRacepoints,
          extraServerSettings: options.extraServerSettings,
        }),
      );
      show(context, restore, globals.json === true);
    });
}

interface Wanted {
  readonly context: CommandContext;
  readonly config: Config;
  readonly log: Log;
  readonly name: string | null;
  readonly replace: boolean;
  readonly signal: AbortSignal;
  readonly racepoints: Racepoints;
  readonly extraServerSettings: Readonly<Record<string, string>> | undefined;
}

interface Restored {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly report: RestoreReport;
  /** Memories of the backup that had been forgotten since. */
  readonly erasedAgain: number;
}

async function carryOut(wanted: Wanted): Promise<Restored> {
  const { context, config, log, signal } = wanted;
  const { clock } = context;
  const named = await findNamed(config.backupDir, wanted.name);
  const releasers = createReleasers({ log, clock });
  const metrics = createMetrics();
  try {
    const { db, connectionString } = await openDatabase({
      config,
      role: 'cli',
      log,
      clock,
      signal,
      metrics,
      releasers,
      extraServerSettings: wanted.extraServerSettings,
    }).catch(sayStopItFirst);
    const source = named ?? (await newestOf(db, config.backupDir));
    const report = await replaceStore(wanted, source, { db, connectionString });
    return { ...source, report, erasedAgain: await makeReady(wanted, { db, metrics, epoch: report.epoch }) };
  } finally {
    context.terminal.endProgress();
    await releasers.releaseAll();
  }
}

interface Source {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Null: none is named, and which it is depends on the database. @throws where there is none that it could be */
async function findNamed(backupDir: string, name: string | null): Promise<Source | null> {
  if (name === null) {
    assertSomeVerified(await listBackups(backupDir), backupDir);
    return null;
  }
  if (name.includes(sep)) {
    const folder = resolve(name);
    return { folder, manifest: await readManifest(folder) };
  }
  const found = await findBackup(backupDir, name);
  const folder = resolve(backupDir, found.name);
  if (found.standing === 'damaged') throw new BackupDamagedError(found.problem ?? `the backup ${folder} is damaged`);
  return { folder, manifest: await readManifest(folder) };
}

async function newestOf(db: Database, backupDir: string): Promise<Source> {
  const here = await readStoreIdentity(db);
  const into = { ...here, isEmpty: here.store === null || (await isEmptyStore(db)), directory: backupDir };
  const folder = resolve(backupDir, chooseToRestore(await listBackups(backupDir), into).name);
  return { folder, manifest: await readManifest(folder) };
}

/** With the database to itself. From its return on, anybody who starts on the store makes it ready. */
async function replaceStore(
  wanted: Wanted,
  { folder, manifest }: Source,
  { db, connectionString }: Pick<OpenDatabase, 'db' | 'connectionString'>,
): Promise<RestoreReport> {
  const { context, config, log, signal } = wanted;
  if (config.databaseDirectUrl) await assertOneDatabase(db, config.databaseDirectUrl);
  await noteErasures(db, config.backupDir, log);
  // What was forgotten elsewhere is elsewhere: a copy of a memory there is no word about the one that comes back here.
  const stores = [manifest.store, (await readStoreIdentity(db)).store];
  const logs = await Promise.all([...new Set([config.backupDir, dirname(folder)])].map(readErasures));
  const unreadable = logs.reduce((sum, one) => sum + one.unreadable, 0);
  if (unreadable > 0) log.warn({ unreadable }, 'lines of the log of what was forgotten cannot be read');
  const report = await restoreStore({
    connectionString: config.databaseDirectUrl ?? connectionString,
    folder,
    manifest,
    replace: wanted.replace,
    erasures: logs.flatMap(({ erasures }) => erasuresOf(erasures, stores)),
    owner: await roleOf(db),
    migrations: await storeMigrations(),
    emptyQueues,
    racepoints: wanted.racepoints,
    signal,
    onProgress: (progress) => context.terminal.progress(showBackupProgress(progress)),
  });
  const { sequencesLeft: sequences } = report;
  if (sequences.length > 0) log.warn({ sequences }, 'numbers had run beyond 2^53 and go on from those of the backup');
  return report;
}

/** As whom a daemon comes to the database, which may be another one than the one that restores. */
async function roleOf(db: Database): Promise<string> {
  const { rows } = await db.query<{ role: string }>('select current_user::text as role');
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  return row.role;
}

/** On the way out of the old store, what it knows to be forgotten; the restore takes it along in any case. */
async function noteErasures(db: Database, backupDir: string, log: Log): Promise<void> {
  if (!(await hasErasures(db))) return;
  await syncErasures(db, backupDir).catch((thrown: unknown) =>
    log.warn({ error: errorMessage(thrown) }, 'the log of what was forgotten is not up to date'),
  );
}

/**
 * What the start of any engramd does too, without the models that it needs: erases what was forgotten, and has jobs made
 * of what is due.
 *
 * @returns how many memories were erased
 */
async function makeReady(
  wanted: Wanted,
  opened: { readonly db: Database; readonly metrics: Metrics; readonly epoch: number },
): Promise<number> {
  const { context, log, signal, racepoints } = wanted;
  const { db, metrics } = opened;
  const { clock } = context;
  db.pinStore(opened.epoch, () => undefined);
  const instanceId = uuidV7();
  await insertInstance(db, { id: instanceId, role: 'cli', host: hostname(), pid: process.pid, version });
  try {
    context.terminal.progress('erasing what was forgotten');
    const erased = await carryOutDueErasures({ db, instanceId, clock, log, racepoints, newId: uuidV7, signal });
    await placeJobs({ db, clock, log, metrics }).catch((thrown: unknown) =>
      log.warn({ error: errorMessage(thrown) }, 'no jobs were made of what is due; the next start does it'),
    );
    return erased;
  } finally {
    await finishInstance(db, instanceId, 'command done').catch(() => undefined);
  }
}

function sayStopItFirst(thrown: unknown): never {
  if (thrown instanceof DataDirInUseError && thrown.owner.role === 'daemon') {
    throw new RestoreRefusedError(`${thrown.message}. Stop it first, then restore; nothing was changed`, {
      cause: thrown,
    });
  }
  throw thrown;
}

function show({ terminal }: CommandContext, restored: Restored, isJson: boolean): void {
  const { folder, manifest, report, erasedAgain } = restored;
  if (isJson) {
    terminal.json({
      backup: folder,
      taken_at: manifest.snapshotAt,
      rows: report.rows,
      replaced: report.replaced,
      erased_again: erasedAgain,
      jobs_deleted: report.jobsDeleted,
      epoch: report.epoch,
    });
    return;
  }
  const memories = manifest.tables.find(({ name }) => name === 'memories')?.rows ?? 0;
  terminal.out(`restored the database as it was at ${manifest.snapshotAt}: ${memories} memories, ${report.rows} rows`);
  terminal.out(terminal.dim(folder));
  const { replaced } = report;
  if (replaced.memories > 0) {
    terminal.out(`in the place of ${replaced.memories} memories in ${replaced.banks} banks`);
  }
  if (erasedAgain > 0) terminal.out(`erased again what had been forgotten since: ${erasedAgain} memories`);
}
