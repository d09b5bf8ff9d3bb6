import type { DirectSession } from '../db/direct-session.ts';
import { BackupUnverifiedError } from './backup-errors.ts';
import type { OnProgress } from './backup-store.ts';
import { assertNotNewer, bringToNewest, type LoadOptions, loadBackup } from './load-backup.ts';
import { isKept } from './load-tables.ts';
import { localeDifference } from './locale.ts';
import type { Manifest, ManifestTable } from './manifest.ts';
import { type Probe, probeHits } from './probe.ts';
import { readTable } from './table-copy.ts';
import type { BackupSource } from './table-files.ts';

export interface CheckOptions extends LoadOptions {
  /** Between the restore and the comparison. */
  readonly loaded: () => Promise<void>;
}

/**
 * Restores a backup into a database that is there for nothing else, and compares: rows and contents of every table, then
 * one search, in the schema of this build. Indexes of vectors are not made: they are made from the rows, by whoever
 * searches first.
 *
 * @throws BackupDamagedError, BackupNewerError, BackupLocaleError, BackupUnverifiedError, errors of the server
 */
export async function checkRestored(
  session: DirectSession,
  source: BackupSource,
  options: CheckOptions,
): Promise<void> {
  const { manifest } = source;
  const { migrations, onProgress } = options;
  assertNotNewer(manifest, migrations);
  await session.script('set synchronous_commit = off; begin');
  await loadBackup(session, source, options);
  await session.script('commit');
  await options.loaded();
  await compareTables(session, source, onProgress);
  await session.script('begin');
  await bringToNewest(session, manifest, migrations);
  await session.script('commit');
  await compareProbe(session, source, migrations.length);
}

async function compareTables(session: DirectSession, source: BackupSource, onProgress: OnProgress): Promise<void> {
  const { tables } = source.manifest;
  const totalRows = tables.reduce((sum, { rows }) => sum + rows, 0);
  let rowsBefore = 0;
  for (const table of tables) {
    await compareTable(session, source, table, (rows) =>
      onProgress({ phase: 'compare', table: table.name, rows: rowsBefore + rows, totalRows }),
    );
    rowsBefore += table.rows;
  }
}

const rowsATold = 5000;

async function compareTable(
  session: DirectSession,
  { folder }: BackupSource,
  { name, columns, rows, contentHash }: ManifestTable,
  told: (rows: number) => void,
): Promise<void> {
  if (!isKept(name)) return;
  let toldRows = 0;
  told(0);
  const found = await readTable(session, { name, columns }, (_chunk, passed) => {
    if (passed < toldRows + rowsATold) return;
    toldRows = passed;
    told(passed);
  });
  if (found.rows !== rows) {
    throw new BackupUnverifiedError(
      `the backup ${folder} does not restore to what it was taken from: ${found.rows} rows of ${name} came back of ${rows}`,
    );
  }
  if (found.contentHash !== contentHash) {
    throw new BackupUnverifiedError(
      `the backup ${folder} does not restore to what it was taken from: rows of ${name} came back with another content`,
    );
  }
}

async function compareProbe(session: DirectSession, source: BackupSource, newest: number): Promise<void> {
  const { probe } = source.manifest;
  if (!probe) return;
  const found = await probeHits(session, probe);
  const expected = await expectedHits(session, source.manifest, newest);
  if (expected === null || isSame(found, expected)) return;
  throw new BackupUnverifiedError(
    `the backup ${source.folder} does not restore to what it was taken from: a search in bank ${probe.bankId} finds ${found.length} rows, ` +
      `and not the ${expected.length} that it found when the backup was taken`,
  );
}

/**
 * Null: another engramd, another major version of PostgreSQL, or a database that tells letters apart otherwise, may well
 * cut words otherwise and find other rows. That the search ran is all that can be told then.
 */
async function expectedHits(session: DirectSession, manifest: Manifest, newest: number): Promise<Probe['hits'] | null> {
  const { probe, schema, server } = manifest;
  const { rows } = await session.query<{ server: string }>(`select current_setting('server_version') as server`);
  if (!probe || schema !== newest || majorOf(rows[0]?.server ?? '') !== majorOf(server)) return null;
  if ((await localeDifference(session, manifest)) !== null) return null;
  return probe.hits;
}

const majorOf = (version: string) => version.split(/\D/, 1)[0];

/** Both in the order that {@link probeHits} gives. Scores are rounded to five decimals where they are made. */
function isSame(found: Probe['hits'], expected: Probe['hits']): boolean {
  return (
    found.length === expected.length &&
    found.every((hit, index) => {
      const other = expected[index];
      return (
        other !== undefined &&
        hit.target === other.target &&
        hit.id === other.id &&
        Math.abs(hit.score - other.score) < 1e-6
      );
    })
  );
}
