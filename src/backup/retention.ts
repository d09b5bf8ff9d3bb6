import { nameTime } from './backup-folder.ts';
import type { BackupStanding, StoredBackup } from './backup-store.ts';
import { areOfOne, type BackupOwner } from './ownership.ts';

const dayMs = 86_400_000;
/** Enough to see whether two in a row have the same fault. */
const spoiledKept = 2;

type Judged = Pick<StoredBackup, 'name' | 'standing' | 'store' | 'origin'>;

/**
 * Which backups of a database may go, oldest first. Asked only after one was verified (law L16), and nothing verified goes for
 * its age as long as it is one of the `keep` newest.
 */
export function backupsToPrune(backups: readonly Judged[], options: BackupOwner & { readonly keep: number }): string[] {
  const surplus = ownOf(backups, options)
    .filter(({ standing }) => standing === 'verified')
    .slice(Math.max(1, options.keep))
    .map(({ name }) => name);
  return [...surplus, ...spoiledToPrune(backups, options)].sort();
}

/**
 * Those among them that were never verified, or are damaged: they keep no verified one's place, and may go at any time. The
 * newest stay beside the newest verified one for a day, for whoever looks into them; then they only take room.
 */
export function spoiledToPrune(backups: readonly Judged[], owner: BackupOwner): string[] {
  const own = ownOf(backups, owner);
  const verified = own.find(({ standing }) => standing === 'verified');
  const goesBefore = verified ? nameTime(verified.name).getTime() - dayMs : -Infinity;
  return own
    .filter(({ standing }) => isSpoiled(standing))
    .filter(({ name }, index) => index >= spoiledKept || nameTime(name).getTime() < goesBefore)
    .map(({ name }) => name)
    .sort();
}

/** Newest first. */
function ownOf(backups: readonly Judged[], owner: BackupOwner): Judged[] {
  return backups.filter((backup) => areOfOne(backup, owner)).sort((a, b) => (a.name < b.name ? 1 : -1));
}

function isSpoiled(standing: BackupStanding): boolean {
  switch (standing) {
    case 'unverified':
    case 'damaged':
      return true;
    // What a newer engramd wrote, or another user, this one cannot judge.
    case 'newer':
    case 'unreadable':
    case 'verified':
      return false;
    default:
      throw standing satisfies never;
  }
}
