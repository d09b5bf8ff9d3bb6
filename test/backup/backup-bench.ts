import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { v7 as uuidV7 } from 'uuid';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import { finishFolder, makePart, manifestChecksum, writeManifest } from '../../src/backup/backup-folder.ts';
import { openDump } from '../../src/backup/dump.ts';
import type { Manifest, ManifestTable } from '../../src/backup/manifest.ts';
import { manifestFile } from '../../src/backup/manifest.ts';
import { type RestoreOptions, type RestoreReport, restoreStore } from '../../src/backup/restore-store.ts';
import { keptColumns, readTable } from '../../src/backup/table-copy.ts';
import { createVerifyBackup, type VerifyDeps } from '../../src/backup/verify.ts';
import { type DirectSession, openDirectSession } from '../../src/db/direct-session.ts';
import { type Migration, readMigrations } from '../../src/db/migrate.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';

export const migrations: readonly Migration[] = await readMigrations(
  new URL('../../src/store/migrations', import.meta.url).pathname,
);

export interface TakenBackup {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** A backup of a database, taken in this thread and not verified. */
export async function takeBackup(connectionString: string, directory: string): Promise<TakenBackup> {
  mkdirSync(directory, { recursive: true });
  const id = uuidV7();
  const name = `2024-05-06T07-08-09Z-${id.slice(-8)}`;
  const startedAt = new Date().toISOString();
  const dump = openDump({ connectionString, directory, files: nodeFiles });
  try {
    await dump.lock();
    const { tables, aboutRows: _, ...facts } = await dump.begin();
    const place = { directory, store: facts.store, origin: facts.origin };
    const part = await makePart(nodeFiles, place, name);
    const written: ManifestTable[] = [];
    for (const table of tables) written.push(await dump.table(table, part, () => undefined));
    await dump.end();
    const finishedAt = new Date().toISOString();
    const body = { format: 1 as const, id, engramd: '0.0.0', startedAt, finishedAt, ...facts, tables: written };
    const manifest = await writeManifest(nodeFiles, part, body);
    return { folder: await finishFolder(nodeFiles, place, name), manifest };
  } finally {
    await dump.close();
  }
}

/** The same files under a manifest that says something else, and whose checksum holds. */
export function rewriteManifest({ folder, manifest }: TakenBackup, change: Partial<Manifest>): TakenBackup {
  const { checksum: _, ...body } = { ...manifest, ...change };
  const changed = { ...body, checksum: manifestChecksum(body) };
  writeFileSync(join(folder, manifestFile), JSON.stringify(changed));
  return { folder, manifest: changed };
}

/** Changes a file in place. */
export function alterFile({ folder }: TakenBackup, file: string, change: (bytes: Buffer) => Buffer): void {
  const path = join(folder, file);
  writeFileSync(path, change(readFileSync(path)));
}

export function verify(
  backup: TakenBackup,
  deps: Pick<VerifyDeps, 'connectionString'> & Partial<VerifyDeps>,
  options: Partial<Parameters<ReturnType<typeof createVerifyBackup>>[2]> = {},
): Promise<void> {
  const verifyBackup = createVerifyBackup({
    migrations: async () => migrations,
    log: silentLog,
    clock: systemClock,
    racepoints: inertRacepoints,
    ...deps,
  });
  return verifyBackup(backup.folder, backup.manifest, {
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  });
}

export function restore(
  backup: TakenBackup,
  options: Pick<RestoreOptions, 'connectionString'> & Partial<RestoreOptions>,
): Promise<RestoreReport> {
  return restoreStore({
    ...backup,
    replace: false,
    erasures: [],
    owner: null,
    migrations,
    emptyQueues: async () => 0,
    racepoints: inertRacepoints,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  });
}

export async function onSession<T>(connectionString: string, work: (session: DirectSession) => Promise<T>): Promise<T> {
  const session = await openDirectSession({ connectionString, applicationName: 'engramd-test' });
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** Rows and content of every table that a backup holds. */
export function contentsOf(connectionString: string): Promise<Record<string, { rows: number; contentHash: string }>> {
  return onSession(connectionString, async (session) => {
    const contents: Record<string, { rows: number; contentHash: string }> = {};
    for (const table of await keptColumns(session)) {
      contents[table.name] = await readTable(session, table, () => undefined);
    }
    return contents;
  });
}

/** As the manifest has them. */
export function contentsIn({ tables }: Manifest): Record<string, { rows: number; contentHash: string }> {
  return Object.fromEntries(tables.map(({ name, rows, contentHash }) => [name, { rows, contentHash }]));
}

/** All that schema `engram` is made of, as the catalog tells, without numbers that differ from database to database. */
export function catalogOf(connectionString: string): Promise<string[]> {
  return onSession(connectionString, async (session) => {
    const { rows } = await session.query<{ part: string }>(
      `select part from (
         select concat_ws(' ', 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.attidentity, a.attgenerated, a.attstorage, pg_get_expr(d.adbin, d.adrelid)) as part
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
         where c.relnamespace = 'engram'::regnamespace and c.relkind = 'r'
         union all
         select concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisprimary)
         from pg_index i join pg_class c on c.oid = i.indrelid
         where c.relnamespace = 'engram'::regnamespace and c.relkind = 'r'
         union all
         select concat_ws(' ', 'constraint', c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated)
         from pg_constraint k join pg_class c on c.oid = k.conrelid
         where k.connamespace = 'engram'::regnamespace
         union all
         select concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
         from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = 'engram'::regnamespace and not t.tgisinternal
         union all
         select concat_ws(' ', 'function', pg_get_functiondef(p.oid)) from pg_proc p
         where p.pronamespace = 'engram'::regnamespace
         union all
         select concat_ws(' ', 'sequence', sequencename, increment_by) from pg_sequences where schemaname = 'engram'
         union all
         select concat_ws(' ', 'migration', version, name, checksum) from engram.migrations
       ) as parts order by part`,
    );
    return rows.map(({ part }) => part);
  });
}
