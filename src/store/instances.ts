import type { Queryable } from '../db/database.ts';

export interface Instance {
  readonly id: string;
  readonly role: 'daemon' | 'cli';
  readonly host: string;
  readonly pid: number;
  readonly version: string;
}

export async function insertInstance(db: Queryable, instance: Instance): Promise<void> {
  await db.query('insert into engram.instances (id, role, host, pid, version) values ($1, $2, $3, $4, $5)', [
    instance.id,
    instance.role,
    instance.host,
    instance.pid,
    instance.version,
  ]);
}

/** What others may know of the requests that an instance was asked. */
export interface InstanceActivity {
  /** Since the last one was dispatched, as a length: the clock of the machine may show anything. Null: none yet. */
  readonly lastActivityAgeMs: number | null;
  readonly requestsInFlight: number;
}

const noActivity: InstanceActivity = { lastActivityAgeMs: null, requestsInFlight: 0 };

/** Says that the instance is alive and up, by the database's clock. Its activity never moves back. */
export async function touchInstance(db: Queryable, id: string, activity = noActivity): Promise<void> {
  // Primary key. What has stopped stays as it was: a beat may be on its way while a process ends.
  await db.query(
    `update engram.instances set seen_at = now(), requests_in_flight = $3, parked_at = null,
       last_activity_at = greatest(last_activity_at, now() - $2::float8 * interval '1 ms')
     where id = $1 and stopped_at is null`,
    [id, activity.lastActivityAgeMs, activity.requestsInFlight],
  );
}

/**
 * The last word of an instance before it releases everything. From then on it says nothing and is no less alive; but it
 * has no jobs, so that whoever looks for the dead by `seen_at` alone takes nothing away from it.
 */
export async function parkInstance(db: Queryable, id: string): Promise<void> {
  // Primary key.
  await db.query(
    'update engram.instances set seen_at = now(), parked_at = now(), requests_in_flight = 0 where id = $1 and stopped_at is null',
    [id],
  );
}

/** Before the instance takes its first job again. */
export async function unparkInstance(db: Queryable, id: string): Promise<void> {
  // Primary key.
  await db.query('update engram.instances set seen_at = now(), parked_at = null where id = $1 and stopped_at is null', [
    id,
  ]);
}

/**
 * Notes, for instances that are known to be dead and said nothing on their way out, that they are: those named, or all
 * but the survivor. Every exit leaves its reason (L13).
 */
export async function buryInstances(
  db: Queryable,
  instances: {
    readonly survivorId: string;
    readonly deadIds: readonly string[] | 'all';
    /** Where somebody has written down why, by id. */
    readonly reasons?: Readonly<Record<string, string>>;
  },
): Promise<number> {
  // Index instances_open; once a start.
  const { rowCount } = await db.query(
    `update engram.instances set stopped_at = now(), stop_reason = coalesce($3::jsonb ->> id::text, 'died without a stop')
     where stopped_at is null and id <> $1 and ($2::uuid[] is null or id = any($2))`,
    [
      instances.survivorId,
      instances.deadIds === 'all' ? null : instances.deadIds,
      JSON.stringify(instances.reasons ?? {}),
    ],
  );
  return rowCount;
}

/** Every exit leaves its reason (L13). */
export async function finishInstance(db: Queryable, id: string, reason: string): Promise<void> {
  // Primary key.
  await db.query(
    'update engram.instances set seen_at = now(), stopped_at = now(), stop_reason = $2 where id = $1 and stopped_at is null',
    [id, reason],
  );
}

/** How the last daemon of this machine on this database ended; null where none has. */
export async function lastExitOn(
  db: Queryable,
  host: string,
): Promise<{ readonly reason: string; readonly at: Date } | null> {
  // A scan: there is a row for each start, and this is done once a start.
  const { rows } = await db.query<{ reason: string | null; at: Date }>(
    `select stop_reason as reason, stopped_at as at from engram.instances
     where role = 'daemon' and host = $1 and stopped_at is not null order by stopped_at desc, started_at desc limit 1`,
    [host],
  );
  const [row] = rows;
  return row ? { reason: row.reason ?? 'unknown', at: row.at } : null;
}
