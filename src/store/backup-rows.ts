import type { Queryable } from '../db/database.ts';

export type BackupTrigger = 'due' | 'asked';

/** Notes that a backup was begun. */
export async function insertBackup(
  db: Queryable,
  backup: { readonly id: string; readonly instanceId: string; readonly host: string; readonly trigger: BackupTrigger },
): Promise<void> {
  await db.query(
    `insert into engram.backups (id, instance_id, host, trigger, status) values ($1, $2, $3, $4, 'running')`,
    [backup.id, backup.instanceId, backup.host, backup.trigger],
  );
}

/** Its files stand; nobody has restored them yet. */
export async function noteBackupWritten(
  db: Queryable,
  id: string,
  written: { readonly folder: string; readonly seenXid: string; readonly rows: number },
): Promise<void> {
  // Primary key.
  await db.query(
    `update engram.backups set status = 'written', folder = $2, seen_xid = $3::xid8, rows = $4 where id = $1`,
    [id, written.folder, written.seenXid, written.rows],
  );
}

/**
 * It was restored and compared; its files are of so many bytes. Nothing where this database knows no backup of that id:
 * files may come from another.
 */
export async function noteBackupVerified(db: Queryable, id: string, bytes: number): Promise<void> {
  // Primary key. Verified again, it does not become a newer one.
  await db.query(
    `update engram.backups set status = 'verified', verified_at = clock_timestamp(), error_code = null, error = null,
       bytes = $2, finished_at = coalesce(finished_at, clock_timestamp())
     where id = $1`,
    [id, bytes],
  );
}

export async function noteBackupUnchanged(db: Queryable, id: string): Promise<void> {
  // Primary key.
  await db.query(`update engram.backups set status = 'unchanged', finished_at = clock_timestamp() where id = $1`, [id]);
}

export async function noteBackupFailed(
  db: Queryable,
  id: string,
  failure: { readonly code: string; readonly message: string },
): Promise<void> {
  // Primary key.
  await db.query(
    `update engram.backups set status = 'failed', finished_at = clock_timestamp(), verified_at = null,
       error_code = $2, error = $3
     where id = $1`,
    [id, failure.code, failure.message],
  );
}

/** Ends those whose process was killed. Only for who holds the lock of backups: nobody else is at one. */
export async function failInterruptedBackups(db: Queryable): Promise<number> {
  // A row a night: one pass over them.
  const { rowCount } = await db.query(
    `update engram.backups set status = 'failed', finished_at = clock_timestamp(), error_code = 'INTERRUPTED',
       error = 'the process ended before the backup did'
     where status in ('running', 'written')`,
  );
  return rowCount;
}

/** Its files are gone. One that failed stays so: how many did in a row is what the pause after them grows by. */
export async function noteBackupPruned(db: Queryable, host: string, folder: string): Promise<void> {
  // As above. One that cannot be read any more has no id.
  await db.query(
    `update engram.backups set status = case when verified_at is null then status else 'pruned' end,
       folder = case when verified_at is null then null else folder end
     where host = $1 and folder = $2`,
    [host, folder],
  );
}

/** Whether this database remembers that backup as one that was verified: transaction ids mean nothing in any other. */
export async function knowsVerifiedBackup(db: Queryable, id: string): Promise<boolean> {
  // Primary key.
  const { rowCount } = await db.query(`select from engram.backups where id = $1 and status = 'verified'`, [id]);
  return rowCount > 0;
}
