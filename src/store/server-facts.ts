import type { Queryable } from '../db/database.ts';

/** What `doctor` asks of a server before it trusts anything on it. Works on a database that engramd has never seen. */
export interface ServerFacts {
  readonly version: string;
  readonly versionNumber: number;
  readonly isReadOnly: boolean;
  /** By the server's clock, as the statement ran. */
  readonly now: Date;
  /** May make the schemas `engram` and `pgboss`, or they are there and this role's. */
  readonly mayCreate: boolean;
  /** Role and database, for the words of a GRANT. */
  readonly role: string;
  readonly database: string;
  readonly vectorInstalled: string | null;
  readonly vectorOffered: string | null;
}

interface Row {
  version: string;
  version_number: number;
  is_read_only: boolean;
  now: Date;
  may_create: boolean;
  role: string;
  database: string;
  vector_installed: string | null;
  vector_offered: string | null;
}

export async function readServerFacts(db: Queryable): Promise<ServerFacts> {
  const { rows } = await db.query<Row>(
    `select current_setting('server_version') as version,
       current_setting('server_version_num')::int as version_number,
       pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as is_read_only,
       clock_timestamp() as now,
       has_database_privilege(current_database(), 'CREATE')
         or (select count(*) = 2 from pg_namespace n
             where n.nspname in ('engram', 'pgboss') and has_schema_privilege(n.oid, 'CREATE')) as may_create,
       current_user as role,
       current_database() as database,
       (select extversion from pg_extension where extname = 'vector') as vector_installed,
       (select default_version from pg_available_extensions where name = 'vector') as vector_offered`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered with no row');
  return {
    version: row.version,
    versionNumber: row.version_number,
    isReadOnly: row.is_read_only,
    now: row.now,
    mayCreate: row.may_create,
    role: row.role,
    database: row.database,
    vectorInstalled: row.vector_installed,
    vectorOffered: row.vector_offered,
  };
}

/** What waits for a person, on a database that has our schema. */
export interface StoreTroubles {
  readonly parked: number;
  readonly due: number;
  readonly oldestDueSeconds: number;
  readonly pinnedModel: string | null;
  /** False until a daemon has made the job queue's tables. */
  readonly hasJobs: boolean;
}

export async function readStoreTroubles(db: Queryable): Promise<StoreTroubles> {
  // Index memories_state for the parked, memories_pending for the due; a scan of either is a scan of what waits.
  const { rows } = await db.query<{
    parked: number;
    due: number;
    oldest: number;
    model: string | null;
    has_jobs: boolean;
  }>(
    `select (select count(*)::int from engram.memories where state = 'parked' and invalidated_at is null) as parked,
       count(*)::int as due,
       coalesce(extract(epoch from clock_timestamp() - min(m.next_attempt_at)), 0)::float as oldest,
       (select id from engram.embedding_models where is_active) as model,
       to_regclass('pgboss.job') is not null as has_jobs
     from engram.memories m
     where m.state = 'pending' and m.invalidated_at is null and m.next_attempt_at <= clock_timestamp()`,
  );
  const row = rows[0];
  return {
    parked: row?.parked ?? 0,
    due: row?.due ?? 0,
    oldestDueSeconds: row?.oldest ?? 0,
    pinnedModel: row?.model ?? null,
    hasJobs: row?.has_jobs ?? false,
  };
}
