import type { Queryable } from './database.ts';

/**
 * Whoever works on the store shares this session lock on a connection of its own (the one that listens); a restore holds
 * it alone. Beside {@link migrationLockKey}: "engramst" in hex.
 */
export const storeLockKey = '7308892986227389300';

/** Whether this session shares the store now. It gives it back with its end. */
export async function tryShareStore(session: Queryable): Promise<boolean> {
  return taken(session, 'select pg_try_advisory_lock_shared($1) as taken');
}

/** Whether this session has the store to itself now: nobody is at work on it. It gives it back with its end. */
export async function tryHoldStore(session: Queryable): Promise<boolean> {
  return taken(session, 'select pg_try_advisory_lock($1) as taken');
}

/** Whether somebody has the store to itself now. Keeps nothing, and so may be asked through a pooler. */
export async function isStoreHeld(db: Queryable): Promise<boolean> {
  return !(await taken(db, 'select pg_try_advisory_xact_lock_shared($1) as taken'));
}

/** A session that is at work on the store. */
export interface StoreUser {
  readonly pid: number;
  readonly applicationName: string;
  /** Null: over a unix socket. */
  readonly address: string | null;
}

/** Who shares the store, so that a refused restore can name them. */
export async function whoSharesStore(session: Queryable): Promise<StoreUser[]> {
  const { rows } = await session.query<StoreUser>(
    `select l.pid, coalesce(a.application_name, '') as "applicationName", host(a.client_addr) as address
     from pg_locks l left join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
       and l.objsubid = 1 and l.granted and ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint
       and l.pid <> pg_backend_pid()
     order by l.pid`,
    [storeLockKey],
  );
  return rows;
}

async function taken(session: Queryable, statement: string): Promise<boolean> {
  const { rows } = await session.query<{ taken: boolean }>(statement, [storeLockKey]);
  return rows[0]?.taken === true;
}
