import type { DirectSession } from '../db/direct-session.ts';
import { sqlState } from '../db/errors.ts';
import { applyMigrations, createMigrationsTable, type Migration } from '../db/migrate.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { BackupDamagedError, BackupLocaleError, BackupNewerError } from './backup-errors.ts';
import type { OnProgress } from './backup-store.ts';
import { explainMisfit, loadTables } from './load-tables.ts';
import { likeness, localeDifference } from './locale.ts';
import type { Manifest } from './manifest.ts';
import { putTogether, takeApart } from './schema-parts.ts';
import { setSequences } from './sequences.ts';
import type { BackupSource } from './table-files.ts';

export interface LoadOptions {
  /** Of this build, all of them. */
  readonly migrations: readonly Migration[];
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** @throws BackupNewerError */
export function assertNotNewer({ schema, engramd }: Manifest, migrations: readonly Migration[]): void {
  const newest = migrations.length;
  if (schema <= newest) return;
  throw new BackupNewerError(
    `the backup has schema version ${schema}, this engramd knows ${newest}: engramd ${engramd} wrote it; upgrade this one`,
  );
}

/**
 * Makes the tables as they were when the backup was taken and fills them. In a transaction of the caller, in a database
 * without any of them; {@link bringToNewest} comes after it.
 *
 * @throws BackupNewerError, BackupDamagedError, BackupLocaleError, errors of the server
 */
export async function loadBackup(session: DirectSession, source: BackupSource, options: LoadOptions): Promise<void> {
  assertNotNewer(source.manifest, options.migrations);
  const difference = await localeDifference(session, source.manifest);
  try {
    await loadAll(session, source, options);
  } catch (thrown) {
    throw difference === null ? thrown : explainDifference(thrown, source, difference);
  }
}

/** Two names that are one here, and letters that this encoding does not have. */
const statesOfLocale = ['23505', '22021', '22P05'];

function explainDifference(
  thrown: unknown,
  { folder, manifest }: BackupSource,
  { there, here }: { readonly there: string; readonly here: string },
): unknown {
  if (!(thrown instanceof BackupDamagedError) || !manifest.locale) return thrown;
  const state = sqlState(thrown.cause);
  if (state === undefined || !statesOfLocale.includes(state)) return thrown;
  return new BackupLocaleError(
    `the backup ${folder} was taken from a database that tells letters apart by ${there}, and this one does by ${here}: not all of it fits here ` +
      `(${errorMessage(thrown.cause)}), which is no damage of the backup. Restore it into a database like that one ` +
      `(CREATE DATABASE … TEMPLATE template0 ${likeness(manifest.locale)}); from there \`engramd export\` and \`import\` bring its banks here`,
    { cause: thrown },
  );
}

async function loadAll(session: DirectSession, source: BackupSource, options: LoadOptions): Promise<void> {
  const { manifest } = source;
  const { migrations, signal, onProgress } = options;
  await createMigrationsTable(session);
  await applyMigrations(
    session,
    migrations.filter(({ version }) => version <= manifest.schema),
  );
  const parts = await takeApart(session);
  await loadTables(session, source, options);
  // Of what a sort may keep in memory; its default is for a server that sorts for many at once.
  await session.query("set local maintenance_work_mem = '128MB'");
  try {
    await putTogether(session, parts, (table, rows) => {
      signal.throwIfAborted();
      onProgress({ phase: 'index', table, rows, totalRows: parts.statements.length });
    });
  } catch (thrown) {
    throw explainMisfit(
      thrown,
      manifest.schema,
      (what) => new BackupDamagedError(`what the backup ${source.folder} holds ${what}`, { cause: thrown }),
    );
  }
  await setSequences(session, manifest.sequences);
}

/** What has been added to the schema since the backup was taken. */
export async function bringToNewest(
  session: DirectSession,
  { schema }: Manifest,
  migrations: readonly Migration[],
): Promise<void> {
  for (const migration of migrations.filter(({ version }) => version > schema)) {
    // What the one before it wrote is checked now: a table with checks outstanding cannot be altered.
    await session.query('set constraints all immediate');
    await applyMigrations(session, [migration]);
  }
}
