import type { Queryable } from '../db/database.ts';
import type { LifecycleState, TransitionReason } from '../lifecycle/states.ts';

/** The one row of truth (law L14), and all that the leader decides by. Lengths and times are the database's. */
export interface LifeRow {
  readonly state: LifecycleState;
  readonly since: Date;
  readonly reason: TransitionReason;
  /** Compared by whoever moves the row. */
  readonly version: number;
  readonly bornAt: Date;
  readonly secondsSinceWoken: number;
  /** Of a forced sleep that has not reached SLEEP; null: none is pending. */
  readonly forceAgeSeconds: number | null;
  /** When a force reached the SLEEP at hand, or the one before this HIBERNATION; null: nobody forced it. */
  readonly honouredForceAt: Date | null;
  /** One that is over by itself reads as none. */
  readonly pause: Pause | null;
  readonly tick: number;
  readonly tickedAt: Date | null;
  readonly tickSkipped: string | null;
  /** When this was read. */
  readonly now: Date;
  /** Of any instance, also of one that is dead by now: that somebody asked stays true. */
  readonly lastActivityAt: Date | null;
  /** Since the last activity or the latest start of a daemon that lives. */
  readonly idleSeconds: number;
  readonly requestsInFlight: number;
  readonly leader: { readonly instanceId: string; readonly fence: number; readonly expiresInSeconds: number } | null;
}

export interface Pause {
  readonly since: Date;
  /** Null: until somebody resumes. */
  readonly until: Date | null;
}

interface StoredLife {
  state: LifecycleState;
  since: Date;
  reason: TransitionReason;
  version: number;
  born_at: Date;
  seconds_since_woken: number;
  force_age_seconds: number | null;
  honoured_force_at: Date | null;
  is_paused: boolean;
  paused_at: Date;
  paused_until: Date | null;
  tick: number;
  ticked_at: Date | null;
  tick_skipped: string | null;
  now: Date;
  last_activity_at: Date | null;
  idle_seconds: number;
  requests_in_flight: number;
  leader_id: string | null;
  leader_fence: number;
  leader_seconds: number;
}

export async function readLife(db: Queryable): Promise<LifeRow> {
  // One row each; indexes instances_activity, instances_open. Awake, an instance is heard of every 10 s; one that is parked
  // is not and lives, and is asked nothing.
  const { rows } = await db.query<StoredLife>(
    `select l.state, l.since, l.reason, l.version, l.born_at, l.honoured_force_at, l.tick, l.ticked_at, l.tick_skipped,
       greatest(0, extract(epoch from now() - l.woken_at))::float8 as seconds_since_woken,
       case when l.sleep_forced_at is not null then greatest(0, extract(epoch from now() - l.sleep_forced_at))::float8 end
         as force_age_seconds,
       l.paused_at is not null and (l.paused_until is null or l.paused_until > now()) as is_paused,
       l.paused_at, l.paused_until, now() as now, active.last_activity_at, alive.requests_in_flight,
       greatest(0, extract(epoch from
         now() - coalesce(greatest(active.last_activity_at, alive.started_at), l.woken_at)))::float8 as idle_seconds,
       d.instance_id as leader_id, d.fence as leader_fence,
       extract(epoch from d.expires_at - now())::float8 as leader_seconds
     from engram.lifecycle l
     cross join (select max(last_activity_at) as last_activity_at from engram.instances) active
     cross join (
       select max(started_at) filter (where role = 'daemon') as started_at,
         coalesce(sum(requests_in_flight) filter (where parked_at is null), 0)::integer as requests_in_flight
       from engram.instances
       where stopped_at is null and (parked_at is not null or seen_at > now() - interval '30 s')) alive
     left join engram.leader d on d.expires_at > now()`,
  );
  const [row] = rows;
  if (!row) throw new Error('engram.lifecycle has lost its row');
  return lifeOf(row);
}

function lifeOf(row: StoredLife): LifeRow {
  return {
    state: row.state,
    since: row.since,
    reason: row.reason,
    version: row.version,
    bornAt: row.born_at,
    secondsSinceWoken: row.seconds_since_woken,
    forceAgeSeconds: row.force_age_seconds,
    honouredForceAt: row.honoured_force_at,
    pause: row.is_paused ? { since: row.paused_at, until: row.paused_until } : null,
    tick: row.tick,
    tickedAt: row.ticked_at,
    tickSkipped: row.tick_skipped,
    now: row.now,
    lastActivityAt: row.last_activity_at,
    idleSeconds: row.idle_seconds,
    requestsInFlight: row.requests_in_flight,
    leader:
      row.leader_id === null
        ? null
        : { instanceId: row.leader_id, fence: row.leader_fence, expiresInSeconds: row.leader_seconds },
  };
}

/** Whoever leads. */
interface Leading {
  readonly instanceId: string;
  readonly fence: number;
}

/**
 * Takes the tick that comes after number `tick`, and says why it comes to nothing; null: it does not, which clears what the
 * last one said (law L13). False: it was taken, whoever took it, or the lease was lost.
 */
export async function claimTick(
  db: Queryable,
  claim: Leading & { readonly tick: number; readonly skipped: string | null },
): Promise<boolean> {
  // One row each.
  const { rowCount } = await db.query(
    `update engram.lifecycle set tick = tick + 1, ticked_at = now(), tick_skipped = $4
     where tick = $3
       and exists (select from engram.leader where instance_id = $1 and fence = $2 and expires_at > now())`,
    [claim.instanceId, claim.fence, claim.tick, claim.skipped],
  );
  return rowCount === 1;
}

export interface Move extends Leading {
  /** Of the row that was decided by. */
  readonly version: number;
  readonly from: LifecycleState;
  readonly to: Exclude<LifecycleState, 'wake'>;
  readonly reason: TransitionReason;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * Moves the row one state down, with its event, and tells everybody. A pending force that reaches SLEEP is honoured with
 * that, and does not fire again.
 *
 * @returns the new version; null: somebody moved or woke or forced it since, or the lease was lost
 */
export async function moveState(db: Queryable, move: Move): Promise<number | null> {
  // One row each.
  const { rows } = await db.query<{ version: number }>(
    `with moved as (
       update engram.lifecycle set state = $5, since = now(), reason = $6, version = version + 1,
         honoured_force_at = case $5 when 'sleep' then case when sleep_forced_at is not null then now() end
           else honoured_force_at end,
         sleep_forced_at = case $5 when 'sleep' then null else sleep_forced_at end
       where version = $3 and state = $4
         and exists (select from engram.leader where instance_id = $1 and fence = $2 and expires_at > now())
       returning version),
     told as (
       insert into engram.lifecycle_events (instance_id, from_state, to_state, reason, detail)
       select $1, $4, $5, $6, $7::jsonb from moved)
     select version, pg_notify('engramd_life', 'state') from moved`,
    [move.instanceId, move.fence, move.version, move.from, move.to, move.reason, JSON.stringify(move.detail ?? {})],
  );
  return rows[0]?.version ?? null;
}

export interface Waking {
  readonly instanceId: string;
  readonly reason: TransitionReason;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * Wakes, whoever leads and whatever the version is: nothing that somebody decided before gets through after it. Asked for
 * by name, by command or signal, it also calls off a forced sleep that is pending (wake wins a tie), and begins the wait of
 * the idle anew where the daemon is awake. Requests and rows leave the force alone: it would never be reached beside them.
 *
 * @returns the state that it was in; null: awake, and nothing was to be done
 */
export async function wakeUp(db: Queryable, waking: Waking): Promise<LifecycleState | null> {
  // One row.
  const isByName = waking.reason === 'wake_command' || waking.reason === 'wake_signal';
  const { rows } = await db.query<{ state: LifecycleState }>(
    `with was as (select state from engram.lifecycle where state <> 'wake' or $4 for update),
     moved as (
       update engram.lifecycle l set state = 'wake', version = version + 1, woken_at = now(), honoured_force_at = null,
         since = case was.state when 'wake' then since else now() end,
         reason = case was.state when 'wake' then reason else $2 end,
         sleep_forced_at = case when $4 then null else sleep_forced_at end
       from was
       returning was.state),
     told as (
       insert into engram.lifecycle_events (instance_id, from_state, to_state, reason, detail)
       select $1, state, 'wake', $2, $3::jsonb from moved where state <> 'wake')
     select state, pg_notify('engramd_life', 'wake') from moved`,
    [waking.instanceId, waking.reason, JSON.stringify(waking.detail ?? {}), isByName],
  );
  return rows[0]?.state ?? null;
}

/**
 * Awake: pending from now on, until SLEEP is reached or somebody wakes it by name. In SLEEP: this SLEEP is a forced one from
 * now on, and its cycle begins, or is the one under way. In HIBERNATION: nothing, there is nothing to sleep on.
 *
 * @returns the state that it was found in
 */
export async function forceSleep(db: Queryable): Promise<LifecycleState> {
  // One row.
  const { rows } = await db.query<{ state: LifecycleState }>(
    `with forced as (
       update engram.lifecycle set version = version + 1,
         sleep_forced_at = case state when 'sleep' then null else coalesce(sleep_forced_at, now()) end,
         honoured_force_at = case state when 'sleep' then now() else honoured_force_at end
       where state <> 'hibernation'
       returning state)
     select state, pg_notify('engramd_life', 'force_sleep') from forced`,
  );
  return rows[0]?.state ?? 'hibernation';
}

/** From now on, for so long; null: until somebody resumes. Paused already, only the end is another one. */
export async function setPause(db: Queryable, forMs: number | null): Promise<Pause> {
  // One row.
  const { rows } = await db.query<{ paused_at: Date; paused_until: Date | null }>(
    `with paused as (
       update engram.lifecycle set
         paused_at = case when paused_at is null or paused_until <= now() then now() else paused_at end,
         paused_until = now() + $1::float8 * interval '1 ms'
       returning paused_at, paused_until)
     select paused_at, paused_until, pg_notify('engramd_life', 'pause') from paused`,
    [forMs],
  );
  const [row] = rows;
  if (!row) throw new Error('engram.lifecycle has lost its row');
  return { since: row.paused_at, until: row.paused_until };
}

/** False: it was not paused. */
export async function clearPause(db: Queryable): Promise<boolean> {
  // One row.
  const { rows } = await db.query<{ was_paused: boolean }>(
    `with was as (
       select paused_until is null or paused_until > now() as was_paused from engram.lifecycle
       where paused_at is not null for update),
     resumed as (
       update engram.lifecycle set paused_at = null, paused_until = null from was returning was.was_paused)
     select was_paused, pg_notify('engramd_life', 'resume') from resumed`,
  );
  return rows[0]?.was_paused ?? false;
}
