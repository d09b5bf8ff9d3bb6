import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { BackupFiles } from './backup-files.ts';
import { backupName, finishFolder, makePart, removePart, writeManifest } from './backup-folder.ts';
import type { OnProgress } from './backup-store.ts';
import type { Dump } from './dump.ts';
import { backupFormat, type Manifest, type ManifestTable } from './manifest.ts';
import { listBackups } from './stored-backups.ts';

export interface WriteDeps {
  readonly directory: string;
  readonly files: BackupFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly racepoints: Racepoints;
  /** Of engramd. */
  readonly version: string;
}

export interface WrittenBackup {
  readonly name: string;
  readonly folder: string;
  readonly manifest: Manifest;
}

/**
 * Writes all of one snapshot into a folder that has its name only once everything in it is on the disk: killed at any
 * instruction, it leaves a backup or a leftover, and what stood there stands.
 *
 * @param dump that holds the lock
 * @throws BackupStorageError, errors of the server
 */
export async function writeBackup(
  deps: WriteDeps,
  dump: Dump,
  options: { readonly id: string; readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<WrittenBackup> {
  const { directory, files, clock, racepoints } = deps;
  const { id, signal } = options;
  const startedAt = clock.now().toISOString();
  const { tables: kept, aboutRows, ...facts } = await dump.begin();
  await racepoints.reach('backup:snapshot-taken');
  const place = { directory, store: facts.store, origin: facts.origin };
  // What nobody can tell the store of may be of this one.
  const newest =
    (await listBackups(directory)).find(({ store }) => store === facts.store || store === null)?.name ?? null;
  const name = backupName(new Date(facts.snapshotAt), id, newest);
  try {
    const part = await makePart(files, place, name);
    const tables: ManifestTable[] = [];
    let rowsBefore = 0;
    for (const table of kept) {
      signal.throwIfAborted();
      const report = (rows: number) =>
        options.onProgress({ phase: 'write', table: table.name, rows: rowsBefore + rows, totalRows: aboutRows });
      report(0);
      const written = await dump.table(table, part, report);
      rowsBefore += written.rows;
      tables.push(written);
      await racepoints.reach('backup:table-written', { table: table.name });
    }
    await dump.end();
    signal.throwIfAborted();
    await racepoints.reach('backup:before-manifest');
    const manifest = await writeManifest(files, part, {
      format: backupFormat,
      id,
      engramd: deps.version,
      ...facts,
      startedAt,
      finishedAt: clock.now().toISOString(),
      tables,
    });
    await racepoints.reach('backup:before-rename');
    const folder = await finishFolder(files, place, name);
    await racepoints.reach('backup:renamed');
    return { name, folder, manifest };
  } catch (thrown) {
    await removePart(files, place, name).catch((error) =>
      deps.log.warn({ error: errorMessage(error), name }, 'what a failed backup left goes with the next one'),
    );
    throw thrown;
  }
}
