import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../models/canonical-json.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { ManifestInvalidError } from './backup-errors.ts';
import { type BackupFiles, storageError } from './backup-files.ts';
import {
  type Manifest,
  type ManifestBody,
  manifestBodySchema,
  manifestFile,
  onceVerifiedFile,
  problemFile,
  verifiedFile,
} from './manifest.ts';
import { type BackupOwner, originTag } from './ownership.ts';

const namePattern = /^(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z-[0-9a-f]{8}$/;
/** Not a backup yet: its process was killed, or is at it. */
const partPrefix = '.part-';
/** Not a backup any more, however much of it is left. */
const gonePrefix = '.gone-';

/** Where the backups of a database stand: others may have theirs in the same directory, and processes at work on them. */
export interface BackupPlace extends BackupOwner {
  readonly directory: string;
}

/**
 * @param newest name of the newest backup there is. No later one sorts before it: with a clock that was set back it
 *   would be the first to be pruned.
 */
export function backupName(at: Date, id: string, newest: string | null): string {
  const atMs = Math.max(at.getTime(), newest === null ? 0 : nameTime(newest).getTime() + 1000);
  const time = new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-');
  // Ids of one minute begin alike, those of another database too.
  return `${time}Z-${id.slice(-8)}`;
}

export function isBackupName(name: string): boolean {
  return namePattern.test(name);
}

export function nameTime(name: string): Date {
  const [, day, hour, minute, second] = namePattern.exec(name) ?? [];
  return new Date(`${day}T${hour}:${minute}:${second}Z`);
}

/** Makes the folder of a new backup, which does not count as one until it is {@link finishFolder finished}. */
export async function makePart(files: BackupFiles, place: BackupPlace, name: string): Promise<string> {
  const part = partOf(place, name);
  await files.makeFolder(part);
  return part;
}

function partOf(place: BackupPlace, name: string): string {
  return join(place.directory, `${leftoverName(place, partPrefix)}${name}`);
}

/** A lock is of one database: what another one with the same store is at has another name. */
function leftoverName({ store, origin }: BackupOwner, prefix: string): string {
  return `${prefix}${store}-${originTag(origin)}-`;
}

/**
 * The last file of a backup: with it, the folder is one.
 *
 * @throws ManifestInvalidError where nobody could read it again
 */
export async function writeManifest(files: BackupFiles, part: string, body: ManifestBody): Promise<Manifest> {
  const { error } = manifestBodySchema.safeParse(body);
  if (error) {
    throw new ManifestInvalidError(
      `the backup cannot be described in its manifest, a fault of engramd: ${z.prettifyError(error)}`,
    );
  }
  const manifest = { ...body, checksum: manifestChecksum(body) };
  await writeWhole(files, join(part, manifestFile), manifest);
  await files.syncFolder(part);
  return manifest;
}

export function manifestChecksum(body: object): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex');
}

/** From here on it is a backup, also after a power cut. */
export async function finishFolder(files: BackupFiles, place: BackupPlace, name: string): Promise<string> {
  const folder = join(place.directory, name);
  await files.rename(partOf(place, name), folder);
  await files.syncFolder(place.directory);
  return folder;
}

export async function markVerified(files: BackupFiles, folder: string, verifiedAt: Date): Promise<void> {
  await replaceFile(files, join(folder, verifiedFile), { verifiedAt: verifiedAt.toISOString() });
  await files.remove(join(folder, problemFile));
  await files.remove(join(folder, onceVerifiedFile));
  await files.syncFolder(folder);
}

/** Its files were read, and are what they were when it was verified. */
export async function markChecked(
  files: BackupFiles,
  folder: string,
  at: { readonly verifiedAt: Date; readonly checkedAt: Date },
): Promise<void> {
  const { verifiedAt, checkedAt } = at;
  const mark = { verifiedAt: verifiedAt.toISOString(), checkedAt: checkedAt.toISOString() };
  await replaceFile(files, join(folder, verifiedFile), mark);
  await files.syncFolder(folder);
}

export async function markProblem(
  files: BackupFiles,
  folder: string,
  problem: { readonly code: string; readonly message: string; readonly foundAt: Date },
): Promise<void> {
  // First: of a backup with both, nobody could tell which came later. A full disk takes no mark, but a new name for one.
  await keepAside(files, folder);
  await replaceFile(files, join(folder, problemFile), { ...problem, foundAt: problem.foundAt.toISOString() });
  await files.syncFolder(folder);
}

/** It counts as verified no more; that it was is what it is kept for. */
async function keepAside(files: BackupFiles, folder: string): Promise<void> {
  const names = await readdir(folder).catch((thrown) => {
    throw storageError(thrown, folder);
  });
  if (names.includes(verifiedFile)) await files.rename(join(folder, verifiedFile), join(folder, onceVerifiedFile));
}

/** Gone at once, whatever is left of its files when the process dies in the middle, or may not remove them. */
export async function removeBackup(files: BackupFiles, place: BackupPlace, name: string, log: Log): Promise<void> {
  const gone = join(place.directory, `${leftoverName(place, gonePrefix)}${name}`);
  await files.rename(join(place.directory, name), gone);
  await files.syncFolder(place.directory);
  await removeLeftover(files, gone, log);
}

/** What killed processes left of this database. Only under the lock: another process may be at it. */
export async function removeLeftovers(files: BackupFiles, place: BackupPlace, log: Log): Promise<void> {
  const { directory } = place;
  const names = await readdir(directory).catch((thrown) => {
    throw storageError(thrown, directory);
  });
  const own = [partPrefix, gonePrefix].map((prefix) => leftoverName(place, prefix));
  for (const name of names) {
    if (own.some((prefix) => name.startsWith(prefix))) await removeLeftover(files, join(directory, name), log);
  }
}

/** What another user wrote may stay for ever: it is in nobody's way. */
async function removeLeftover(files: BackupFiles, path: string, log: Log): Promise<void> {
  await files.remove(path).catch((thrown) => {
    log.warn({ path, error: errorMessage(thrown) }, 'what is left of a backup could not be removed');
  });
}

export function removePart(files: BackupFiles, place: BackupPlace, name: string): Promise<void> {
  return files.remove(partOf(place, name));
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
