import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { onceVerifiedFile, verifiedFile } from './manifest.ts';

/** What the folder of a backup tells of whether it may go, whatever has become of its files. */
export interface FolderFacts {
  /** It was restored and compared once, whatever was found since. */
  readonly wasVerified: boolean;
  /** When anything in it was last written, by the clock of its file system. */
  readonly changedAt: Date;
}

/** @throws errors of the file system, also where something goes meanwhile */
export async function readFolderFacts(folder: string): Promise<FolderFacts> {
  const names = await readdir(folder);
  // Who copies may keep the times of files, but not that of the folder as long as he adds to it.
  const found = await Promise.all([stat(folder), ...names.map((name) => lstat(join(folder, name)))]);
  return {
    wasVerified: names.includes(verifiedFile) || names.includes(onceVerifiedFile),
    changedAt: new Date(Math.max(...found.map(({ mtimeMs }) => mtimeMs))),
  };
}
