import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { BackupDamagedError, BackupNewerError, BackupNotFoundError, BackupStorageError } from './backup-errors.ts';
import { isMissing, readError, storageError } from './backup-files.ts';
import { isBackupName, manifestChecksum } from './backup-folder.ts';
import type { BackupStanding, StoredBackup } from './backup-store.ts';
import {
  backupFormat,
  type Manifest,
  type ManifestTable,
  manifestFile,
  manifestSchema,
  originSchema,
  problemFile,
  verifiedFile,
} from './manifest.ts';

/** Newest first; none where there is no directory yet. @throws BackupStorageError */
export async function listBackups(directory: string): Promise<StoredBackup[]> {
  const names = await namesIn(directory, directory);
  const newestFirst = names.filter(isBackupName).sort().reverse();
  return Promise.all(newestFirst.map((name) => readBackup(directory, name)));
}

/** The one of that name, of whatever database. @throws BackupNotFoundError */
export async function findBackup(directory: string, name: string): Promise<StoredBackup> {
  const backups = await listBackups(directory);
  const named = backups.find((backup) => backup.name === name);
  if (named) return named;
  throw new BackupNotFoundError(
    `there is no backup ${name} in ${directory} (ENGRAMD_BACKUP_DIR); \`engramd backup list\` shows those there are`,
  );
}

/**
 * The manifest of a backup, whole and of files that are there in their length. What is in them, only reading them tells.
 *
 * @throws BackupDamagedError, BackupNewerError, BackupStorageError where nobody can tell
 */
export async function readManifest(folder: string): Promise<Manifest> {
  return checkManifest(folder, await readText(join(folder, manifestFile)));
}

async function checkManifest(folder: string, text: string | null): Promise<Manifest> {
  if (text === null) throw new BackupDamagedError(`the backup ${folder} has no manifest`);
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
  const path = join(folder, file);
  const found = await stat(path).catch((thrown) => {
    if (!isMissing(thrown)) throw readError(thrown, path);
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
  const untold = { name, ...ofNobody, manifest: null, problem: null, verifiedAt: null, checkedAt: null };
  const told = { ...untold, bytes: await bytesIn(folder) };
  let whose: Whose = ofNobody;
  try {
    const text = await readText(join(folder, manifestFile));
    whose = whoseOf(text);
    const manifest = await checkManifest(folder, text);
    const problem = await readMark(folder, problemFile, problemSchema);
    if (problem) return { ...told, ...whose, manifest, standing: 'damaged', problem: problem.message };
    const verified = await readMark(folder, verifiedFile, verifiedSchema);
    return { ...told, ...whose, manifest, standing: verified ? 'verified' : 'unverified', ...verified };
  } catch (thrown) {
    if (!(thrown instanceof EngramdError)) throw thrown;
    return { ...told, ...whose, standing: standingOf(thrown), problem: thrown.message };
  }
}

function standingOf(thrown: EngramdError): BackupStanding {
  if (thrown instanceof BackupStorageError) return 'unreadable';
  return thrown instanceof BackupNewerError ? 'newer' : 'damaged';
}

type Whose = Pick<StoredBackup, 'store' | 'origin'>;

const ofNobody: Whose = { store: null, origin: null };
const whoseSchema = z.looseObject({ store: z.guid(), origin: originSchema.nullable().catch(null) });

/** Also of a manifest that is damaged, or of a newer engramd. */
function whoseOf(text: string | null): Whose {
  const { store = null, origin = null } = whoseSchema.safeParse(parseJson(text ?? '')).data ?? {};
  return { store, origin };
}

const time = z.iso.datetime().transform((text) => new Date(text));
const verifiedSchema = z
  .object({ verifiedAt: time, checkedAt: time.optional() })
  .transform(({ verifiedAt, checkedAt = verifiedAt }) => ({ verifiedAt, checkedAt }));
const problemSchema = z.object({ code: z.string(), message: z.string() });

/** Null where it is not there; one that says nothing marks nothing. */
async function readMark<T extends z.ZodType>(folder: string, file: string, schema: T): Promise<z.output<T> | null> {
  const text = await readText(join(folder, file));
  return text === null ? null : (schema.safeParse(parseJson(text)).data ?? null);
}

/** Null where it is not there. @throws BackupStorageError */
async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw readError(thrown, path);
  }
}

/** Of all its files; 0 where it is gone. */
export async function bytesIn(folder: string): Promise<number> {
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
    if (isMissing(thrown)) return [];
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
