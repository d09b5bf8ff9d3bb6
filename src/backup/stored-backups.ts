import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { BackupDamagedError, BackupNewerError, BackupNotFoundError } from './backup-errors.ts';
import { storageError } from './backup-files.ts';
import { isBackupName, manifestChecksum } from './backup-folder.ts';
import type { BackupStanding, StoredBackup } from './backup-store.ts';
import {
  backupFormat,
  type Manifest,
  type ManifestTable,
  manifestFile,
  manifestSchema,
  problemFile,
  verifiedFile,
} from './manifest.ts';

/** Newest first; none where there is no directory yet. @throws BackupStorageError */
export async function listBackups(directory: string): Promise<StoredBackup[]> {
  const names = await namesIn(directory, directory);
  const newestFirst = names.filter(isBackupName).sort().reverse();
  return Promise.all(newestFirst.map((name) => readBackup(directory, name)));
}

/** The one of that name; the newest that is not damaged where none is named. @throws BackupNotFoundError */
export async function findBackup(directory: string, name: string | null): Promise<StoredBackup> {
  const backups = await listBackups(directory);
  if (name === null) {
    const newest = backups.find(({ standing }) => standing !== 'damaged') ?? backups[0];
    if (!newest) throw new BackupNotFoundError(`there is no backup in ${directory} (ENGRAMD_BACKUP_DIR)`);
    return newest;
  }
  const named = backups.find((backup) => backup.name === name);
  if (named) return named;
  throw new BackupNotFoundError(
    `there is no backup ${name} in ${directory} (ENGRAMD_BACKUP_DIR); \`engramd backup list\` shows those there are`,
  );
}

/**
 * The manifest of a backup, whole and of files that are there in their length. What is in them, only reading them tells.
 *
 * @throws BackupDamagedError, BackupNewerError
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const text = await readFile(join(folder, manifestFile), 'utf8').catch((thrown) => {
    throw new BackupDamagedError(`the backup ${folder} has no manifest that can be read (${errorMessage(thrown)})`);
  });
  const manifest = parseManifest(folder, text);
  for (const table of manifest.tables) await assertLength(folder, table);
  return manifest;
}

function parseManifest(folder: string, text: string): Manifest {
  const given = parseJson(text);
  const format = z.looseObject({ format: z.int() }).safeParse(given).data?.format;
  if (format !== undefined && format > backupFormat) {
    throw new BackupNewerError(
      `the backup ${folder} is of format ${format}, and this engramd knows ${backupFormat}: a newer one wrote it; upgrade this one`,
    );
  }
  const manifest = manifestSchema.safeParse(given).data;
  if (!manifest) throw new BackupDamagedError(`the manifest of the backup ${folder} is damaged: it is not one`);
  const { checksum, ...body } = manifest;
  if (manifestChecksum(body) === checksum) return manifest;
  throw new BackupDamagedError(`the manifest of the backup ${folder} was altered: its checksum does not fit`);
}

async function assertLength(folder: string, { file, fileBytes }: ManifestTable): Promise<void> {
  const found = await stat(join(folder, file)).catch((thrown) => {
    throw new BackupDamagedError(`${file} of the backup ${folder} is missing (${errorMessage(thrown)})`);
  });
  if (found.size === fileBytes) return;
  const what = found.size < fileBytes ? 'truncated' : 'too long';
  throw new BackupDamagedError(
    `${file} of the backup ${folder} is ${what}: ${found.size} bytes instead of ${fileBytes}`,
  );
}

async function readBackup(directory: string, name: string): Promise<StoredBackup> {
  const folder = join(directory, name);
  const bytes = await bytesIn(folder);
  try {
    const manifest = await readManifest(folder);
    const problem = await readMark(folder, problemFile, problemSchema);
    if (problem) return { name, standing: 'damaged', manifest, problem: problem.message, verifiedAt: null, bytes };
    const verified = await readMark(folder, verifiedFile, verifiedSchema);
    const standing: BackupStanding = verified ? 'verified' : 'unverified';
    return { name, standing, manifest, problem: null, verifiedAt: verified?.verifiedAt ?? null, bytes };
  } catch (thrown) {
    if (!(thrown instanceof EngramdError)) throw thrown;
    const standing: BackupStanding = thrown instanceof BackupNewerError ? 'newer' : 'damaged';
    return { name, standing, manifest: null, problem: thrown.message, verifiedAt: null, bytes };
  }
}

const verifiedSchema = z.object({ verifiedAt: z.iso.datetime().transform((text) => new Date(text)) });
const problemSchema = z.object({ code: z.string(), message: z.string() });

/** Null where it is not there; one that cannot be read marks nothing. */
async function readMark<T extends z.ZodType>(folder: string, file: string, schema: T): Promise<z.output<T> | null> {
  const text = await readFile(join(folder, file), 'utf8').catch(() => null);
  return text === null ? null : (schema.safeParse(parseJson(text)).data ?? null);
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  // A backup may be pruned while it is looked at.
  for (const name of await readdir(folder).catch(() => [])) {
    bytes += (await stat(join(folder, name)).catch(() => null))?.size ?? 0;
  }
  return bytes;
}

async function namesIn(path: string, directory: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return [];
    throw storageError(thrown, directory);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
