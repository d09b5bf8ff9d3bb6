import { nameTime } from './backup-folder.ts';
import type { BackupStanding, StoredBackup } from './backup-store.ts';
import type { FolderFacts } from './folder-facts.ts';
import { areOfOne, type BackupOwner } from './ownership.ts';

const dayMs = 86_400_000;
/** Enough to see whether two in a row have the same fault. */
const spoiledKept = 2;

/** As long ago as nobody is still copying it. */
const freshMs = 3_600_000;

type Judged = Pick<StoredBackup, 'name' | 'standing' | 'store' | 'origin'> & FolderFacts;

interface PruneOptions extends BackupOwner {
  readonly now: Date;
}

/**
 * Which backups of a database may go, oldest first. Asked only after one was verified (law L16), and nothing verified goes for
 * its age as long as it is one of the `keep` newest.
 */
export function backupsToPrune(
  backups: readonly Judged[],
  options: PruneOptions & { readonly keep: number },
): string[] {
  const surplus = ownOf(backups, options)
    .filter(({ standing }) => standing === 'verified')
    .slice(Math.max(1, options.keep))
    .map(({ name }) => name);
  return [...surplus, ...outlivedToPrune(backups, options), ...spoiledToPrune(backups, options)].sort();
}

/**
 * Those that were verified once and do not stand any more go by their age, as if they did: most of what they hold may be had
 * from them, and it may be the verification that was wrong.
 */
function outlivedToPrune(backups: readonly Judged[], options: PruneOptions & { readonly keep: number }): string[] {
  const own = ownOf(backups, options);
  const oldestKept = own.filter(({ standing }) => standing === 'verified')[Math.max(1, options.keep) - 1];
  if (!oldestKept) return [];
  return own
    .filter(({ name, standing, wasVerified }) => wasVerified && isSpoiled(standing) && name < oldestKept.name)
    .filter(isLeftAlone(backups, options.now))
    .map(({ name }) => name);
}

/**
 * Those among them that were never verified: they keep no verified one's place, and may go at any time, but those that
 * somebody may just be copying there. The newest stay beside the newest verified one for a day, for whoever looks into them;
 * then they only take room.
 */
export function spoiledToPrune(backups: readonly Judged[], options: PruneOptions): string[] {
  const own = ownOf(backups, options);
  const verified = own.find(({ standing }) => standing === 'verified');
  const goesBefore = verified ? nameTime(verified.name).getTime() - dayMs : -Infinity;
  return own
    .filter(({ standing, wasVerified }) => isSpoiled(standing) && !wasVerified)
    .filter(({ name }, index) => index >= spoiledKept || nameTime(name).getTime() < goesBefore)
    .filter(isLeftAlone(backups, options.now))
    .map(({ name }) => name)
    .sort();
}

/**
 * Whether nobody has written to one for a while. Times are of the disk's clock, which may be another one than ours: what
 * was written last on it is never long ago. What lies days ahead was written by a clock that was wrong.
 */
function isLeftAlone(backups: readonly Judged[], now: Date): (backup: FolderFacts) => boolean {
  const lastMs = Math.max(...backups.map(({ changedAt }) => changedAt.getTime()));
  const nowMs = Math.min(now.getTime(), lastMs);
  return ({ changedAt }) => {
    const ageMs = nowMs - changedAt.getTime();
    return ageMs >= freshMs || ageMs < -dayMs;
  };
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
