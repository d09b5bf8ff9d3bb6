import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson } from '../models/canonical-json.ts';
import { type BackupFiles, storageError } from './backup-files.ts';
import { type Manifest, type ManifestBody, manifestFile, problemFile, verifiedFile } from './manifest.ts';

const namePattern = /^(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z-[0-9a-f]{8}$/;
/** Not a backup yet: its process was killed, or is at it. */
const partPrefix = '.part-';
/** Not a backup any more, however much of it is left. */
const gonePrefix = '.gone-';

/**
 * @param newest name of the newest backup there is. No later one sorts before it: with a clock that was set back it
 *   would be the first to be pruned.
 */
export function backupName(at: Date, id: string, newest: string | null): string {
  const atMs = Math.max(at.getTime(), newest === null ? 0 : nameTime(newest).getTime() + 1000);
  const time = new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-');
  return `${time}Z-${id.slice(0, 8)}`;
}

export function isBackupName(name: string): boolean {
  return namePattern.test(name);
}

export function nameTime(name: string): Date {
  const [, day, hour, minute, second] = namePattern.exec(name) ?? [];
  return new Date(`${day}T${hour}:${minute}:${second}Z`);
}

/** Makes the folder of a new backup, which does not count as one until it is {@link finishFolder finished}. */
export async function makePart(files: BackupFiles, directory: string, name: string): Promise<string> {
  const part = join(directory, partPrefix + name);
  await files.makeFolder(part);
  return part;
}

/** The last file of a backup: with it, the folder is one. */
export async function writeManifest(files: BackupFiles, part: string, body: ManifestBody): Promise<Manifest> {
  const manifest = { ...body, checksum: manifestChecksum(body) };
  await writeWhole(files, join(part, manifestFile), manifest);
  await files.syncFolder(part);
  return manifest;
}

export function manifestChecksum(body: object): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex');
}

/** From here on it is a backup, also after a power cut. */
export async function finishFolder(files: BackupFiles, directory: string, name: string): Promise<string> {
  const folder = join(directory, name);
  await files.rename(join(directory, partPrefix + name), folder);
  await files.syncFolder(directory);
  return folder;
}

export async function markVerified(files: BackupFiles, folder: string, verifiedAt: Date): Promise<void> {
  await replaceFile(files, join(folder, verifiedFile), { verifiedAt: verifiedAt.toISOString() });
  await files.remove(join(folder, problemFile));
  await files.syncFolder(folder);
}

export async function markProblem(
  files: BackupFiles,
  folder: string,
  problem: { readonly code: string; readonly message: string; readonly foundAt: Date },
): Promise<void> {
  // First: of a backup with both, nobody could tell which came later. A full disk takes no mark, but lets one go.
  await files.remove(join(folder, verifiedFile));
  await replaceFile(files, join(folder, problemFile), { ...problem, foundAt: problem.foundAt.toISOString() });
  await files.syncFolder(folder);
}

/** Gone at once, whatever is left of its files when the process dies in the middle. */
export async function removeBackup(files: BackupFiles, directory: string, name: string): Promise<void> {
  const gone = join(directory, gonePrefix + name);
  await files.rename(join(directory, name), gone);
  await files.syncFolder(directory);
  await files.remove(gone);
}

/** What killed processes left. Only under the lock: another process may be at it. */
export async function removeLeftovers(files: BackupFiles, directory: string): Promise<void> {
  const names = await readdir(directory).catch((thrown) => {
    throw storageError(thrown, directory);
  });
  for (const name of names) {
    if (name.startsWith(partPrefix) || name.startsWith(gonePrefix)) await files.remove(join(directory, name));
  }
}

export function removePart(files: BackupFiles, directory: string, name: string): Promise<void> {
  return files.remove(join(directory, partPrefix + name));
}

async function replaceFile(files: BackupFiles, path: string, content: object): Promise<void> {
  const part = `${path}.part`;
  await files.remove(part);
  await writeWhole(files, part, content);
  await files.rename(part, path);
}

async function writeWhole(files: BackupFiles, path: string, content: object): Promise<void> {
  const file = await files.create(path);
  try {
    await file.write(Buffer.from(`${JSON.stringify(content, null, 2)}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
}
