import type { Queryable } from '../db/database.ts';

/**
 * Endpoints and models that are out of order, shared by all daemons of a database: one outage, one probe. Times come from
 * the daemon that writes and are compared with the clock of the one that reads; a clock that is ahead probes early, one
 * at a time all the same.
 */

/** Which breaker. */
export interface BreakerKey {
  /** Base URL without credentials. */
  readonly endpoint: string;
  readonly model: string;
}

export type BreakerErrorClass =
  | 'transient'
  | 'timeout'
  | 'rate_limit'
  | 'quota'
  | 'auth'
  | 'configuration'
  | 'model_unfit';

export interface BreakerRow extends BreakerKey {
  readonly errorClass: BreakerErrorClass;
  readonly message: string;
  /** Failed probes and the failure that opened it. */
  readonly failures: number;
  readonly openedAt: Date;
  /** From then on one call may try. */
  readonly reopensAt: Date;
  /** The call that is trying, and until when it is believed to be alive. */
  readonly probeId: string | null;
  readonly probeUntil: Date | null;
}

export interface StoredBreaker {
  endpoint: string;
  model: string;
  error_class: BreakerErrorClass;
  message: string;
  failures: number;
  opened_at: Date;
  reopens_at: Date;
  probe_id: string | null;
  probe_until: Date | null;
}

export function breakerOf(row: StoredBreaker): BreakerRow {
  return {
    endpoint: row.endpoint,
    model: row.model,
    errorClass: row.error_class,
    message: row.message,
    failures: row.failures,
    openedAt: row.opened_at,
    reopensAt: row.reopens_at,
    probeId: row.probe_id,
    probeUntil: row.probe_until,
  };
}

/** Undefined: in order. */
export async function readBreaker(db: Queryable, key: BreakerKey): Promise<BreakerRow | undefined> {
  // Primary key.
  const { rows } = await db.query<StoredBreaker>(
    'select * from engram.model_breakers where endpoint = $1 and model = $2',
    [key.endpoint, key.model],
  );
  return rows[0] && breakerOf(rows[0]);
}

export interface BreakerFailure {
  readonly errorClass: BreakerErrorClass;
  readonly message: string;
  readonly now: Date;
  readonly reopensAt: Date;
}

/**
 * Opens a breaker. One that is open stays as it is, since calls that were in flight when it opened say nothing new;
 * but for a time that the server has named (`isNamed`), before which it does not reopen.
 */
export async function openBreaker(
  db: Queryable,
  key: BreakerKey,
  failure: BreakerFailure & { readonly isNamed: boolean },
): Promise<{ readonly row: BreakerRow; readonly isNew: boolean }> {
  // Primary key. xmax is 0 in a row that this statement has inserted.
  const { rows } = await db.query<StoredBreaker & { is_new: boolean }>(
    `insert into engram.model_breakers as b (endpoint, model, error_class, message, opened_at, reopens_at)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (endpoint, model) do update set
       reopens_at = case when $7 then greatest(b.reopens_at, excluded.reopens_at) else b.reopens_at end
     returning *, xmax = 0 as is_new`,
    [key.endpoint, key.model, failure.errorClass, failure.message, failure.now, failure.reopensAt, failure.isNamed],
  );
  const [row] = rows;
  if (!row) throw new Error('an upsert returned no row');
  return { row: breakerOf(row), isNew: row.is_new };
}

/** Takes the right to try, for one call at a time over all daemons. Undefined: not due, taken, or in order again. */
export async function claimProbe(
  db: Queryable,
  key: BreakerKey,
  claim: { readonly probeId: string; readonly now: Date; readonly until: Date },
): Promise<BreakerRow | undefined> {
  // Primary key. To the millisecond, which is what a clock here can tell: else a row looks due and is not.
  const { rows } = await db.query<StoredBreaker>(
    `update engram.model_breakers set probe_id = $3, probe_until = $5
     where endpoint = $1 and model = $2 and date_trunc('milliseconds', reopens_at) <= $4
       and (probe_id is null or date_trunc('milliseconds', probe_until) <= $4)
     returning *`,
    [key.endpoint, key.model, claim.probeId, claim.now, claim.until],
  );
  return rows[0] && breakerOf(rows[0]);
}

/**
 * Notes one more failure in a row: of the probe, or (`probeId` null) of a model that answers and is of no use. A breaker
 * opened as `model_unfit` keeps that name whatever its probes meet, so that an answer alone does not close it. Undefined:
 * the probe had been taken over, or it is in order again.
 */
export async function failBreaker(
  db: Queryable,
  key: BreakerKey,
  failure: BreakerFailure & { readonly probeId: string | null },
): Promise<BreakerRow | undefined> {
  // Primary key.
  const { rows } = await db.query<StoredBreaker>(
    `update engram.model_breakers set failures = failures + 1, reopens_at = $5, probe_id = null, probe_until = null,
       error_class = case when error_class = 'model_unfit' then error_class else $3 end,
       message = case when error_class = 'model_unfit' then message else $4 end
     where endpoint = $1 and model = $2
       and case when $6::uuid is null then error_class = 'model_unfit' else probe_id = $6 end
     returning *`,
    [key.endpoint, key.model, failure.errorClass, failure.message, failure.reopensAt, failure.probeId],
  );
  return rows[0] && breakerOf(rows[0]);
}

/** Gives the right to try back without a result; the next call tries at once. */
export async function releaseProbe(db: Queryable, key: BreakerKey, probeId: string): Promise<void> {
  // Primary key.
  await db.query(
    'update engram.model_breakers set probe_id = null, probe_until = null where endpoint = $1 and model = $2 and probe_id = $3',
    [key.endpoint, key.model, probeId],
  );
}

/** In order again. Only the outage that the probe was for: one that began since stays. */
export async function closeBreaker(db: Queryable, key: BreakerKey, openedAt: Date): Promise<boolean> {
  // Primary key.
  const { rowCount } = await db.query(
    `delete from engram.model_breakers
     where endpoint = $1 and model = $2 and date_trunc('milliseconds', opened_at) = $3`,
    [key.endpoint, key.model, openedAt],
  );
  return rowCount === 1;
}

/**
 * At the start of a daemon: what a person has to change may have been changed in the settings that it starts with, so what
 * these name is tried at once. Says how many were pending.
 */
export async function probeSoon(db: Queryable, keys: readonly BreakerKey[], now: Date): Promise<number> {
  // Primary key.
  const { rowCount } = await db.query(
    `update engram.model_breakers set reopens_at = $1
     where error_class in ('auth', 'configuration', 'model_unfit') and reopens_at > $1
       and (endpoint, model) in (select * from unnest($2::text[], $3::text[]))`,
    [now, keys.map(({ endpoint }) => endpoint), keys.map(({ model }) => model)],
  );
  return rowCount;
}

/** What `status` and `doctor` say of the models: every endpoint and model that is out of order. */
export async function readModelHealth(db: Queryable): Promise<
  {
    readonly endpoint: string;
    readonly model: string;
    readonly errorClass: BreakerErrorClass;
    readonly message: string;
    readonly openedAt: Date;
    readonly retryAt: Date;
  }[]
> {
  // A scan: a row for each endpoint that is out of order.
  const { rows } = await db.query<StoredBreaker>(
    'select * from engram.model_breakers order by opened_at, endpoint, model',
  );
  return rows.map((row) => ({
    endpoint: row.endpoint,
    model: row.model,
    errorClass: row.error_class,
    message: row.message,
    openedAt: row.opened_at,
    retryAt: row.reopens_at,
  }));
}
