import { nameTime } from './backup-folder.ts';
import type { StoredBackup } from './backup-store.ts';

const dayMs = 86_400_000;

/**
 * Which backups may go, oldest first. Asked only after one was verified (law L16), and nothing goes for its age as long as
 * it is one of the `keep` newest verified.
 *
 * One that was never verified, or is damaged, keeps no verified one's place. It stays a day beside the newest verified
 * one, for whoever looks into it; then it only takes room. What a newer engramd wrote, this one cannot judge.
 */
export function backupsToPrune(
  backups: readonly Pick<StoredBackup, 'name' | 'standing'>[],
  options: { readonly keep: number },
): string[] {
  const newestFirst = [...backups].sort((a, b) => (a.name < b.name ? 1 : -1));
  const verified = newestFirst.filter(({ standing }) => standing === 'verified');
  const [newest] = verified;
  if (!newest) return [];
  const kept = new Set(verified.slice(0, Math.max(1, options.keep)));
  const goesBefore = nameTime(newest.name).getTime() - dayMs;
  return newestFirst
    .filter((backup) => {
      switch (backup.standing) {
        case 'verified':
          return !kept.has(backup);
        case 'unverified':
        case 'damaged':
          return nameTime(backup.name).getTime() < goesBefore;
        case 'newer':
          return false;
        default:
          throw backup.standing satisfies never;
      }
    })
    .map(({ name }) => name)
    .reverse();
}
