import type { Queryable } from '../db/database.ts';
import { BackupBusyError } from './backup-errors.ts';

/** As `migrationLockKey`: any constant that nobody else has. "backup" in hex. */
const backupLockKey = '108170419336560';

/**
 * One backup, verification or restore of a database at a time. Held by the session, so it ends with the connection,
 * whatever became of the process.
 *
 * @param session a connection of its own: a pooler keeps no session
 * @throws BackupBusyError
 */
export async function holdBackupLock(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ held: boolean }>('select pg_try_advisory_lock($1) as held', [backupLockKey]);
  if (rows[0]?.held) return;
  throw new BackupBusyError(
    'another process is at a backup, a verification or a restore of this database; try again when it is done',
  );
}
