import type { Migration } from '../db/migrate.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { VerifyBackup } from './backup-store.ts';
import { assertNotNewer } from './load-backup.ts';
import { checkInThread } from './load-thread.ts';
import { openThrowAway, type ThrowAwayOptions } from './throwaway-database.ts';

export interface VerifyDeps {
  /** Of the server itself (`DATABASE_DIRECT_URL`): the throw-away database is made beside this one where it may be. */
  readonly connectionString: string;
  /** Of this build, all of them. */
  readonly migrations: () => Promise<readonly Migration[]>;
  readonly log: Log;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly startCluster?: ThrowAwayOptions['startCluster'];
}

/**
 * Law L16: what was restored somewhere and compared is a backup. Whoever calls holds the lock of backups; the throw-away
 * database goes in any case, with whatever is under way there.
 */
export function createVerifyBackup(deps: VerifyDeps): VerifyBackup {
  const { connectionString, log, clock, racepoints, startCluster } = deps;
  return async (folder, manifest, { signal, onProgress }) => {
    const migrations = await deps.migrations();
    assertNotNewer(manifest, migrations);
    signal.throwIfAborted();
    const database = await openThrowAway({
      connectionString,
      log,
      clock,
      signal,
      locale: manifest.locale,
      ...(startCluster && { startCluster }),
    });
    try {
      await checkInThread(
        { connectionString: database.connectionString, source: { folder, manifest }, migrations },
        { signal, onProgress, loaded: () => racepoints.reach('backup:verifying', { folder }) },
      );
      log.info(
        { folder, where: database.where, skipped: 'indexes of vectors, which are made from the rows' },
        'the backup was restored and compared',
      );
    } finally {
      // A failure here is none of the backup; what stays is dropped before the next verification.
      await database.drop().catch((thrown: unknown) => {
        log.warn({ error: errorMessage(thrown) }, 'the database of a verification could not be dropped');
      });
    }
  };
}
