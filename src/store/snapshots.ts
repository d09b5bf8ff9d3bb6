import type { Queryable } from '../db/database.ts';
import type { VectorTarget } from './vectors/vector-index.ts';

export type SnapshotTrigger = 'changes' | 'time' | 'asked';

/** Rows by state, and how many are pinned. */
export interface SnapshotCounts {
  readonly memories: Readonly<Record<string, number>>;
  readonly observations: Readonly<Record<string, number>>;
  readonly pinned: number;
}

export interface Snapshot {
  readonly id: string;
  readonly madeAt: Date;
  readonly trigger: SnapshotTrigger;
  /** The last applied op in it; 0 where there was none. */
  readonly appliedNo: number;
  readonly counts: SnapshotCounts;
}

/**
 * Waits for deletions in the bank that are under way, and keeps later ones waiting until the end of the transaction. To be
 * called before the statement whose reading they would be missing from.
 */
export async function lockSnapshots(tx: Queryable, bankId: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(engram.snapshot_lock($1))', [bankId]);
}

/**
 * Writes down a bank as it stands. One statement sees one state, whatever commits meanwhile, so nobody is locked out; rows
 * never leave the server.
 */
export async function insertSnapshot(
  tx: Queryable,
  bankId: string,
  snapshot: { readonly id: string; readonly trigger: SnapshotTrigger },
): Promise<Snapshot> {
  // One pass over the bank's memories and observations; change_ops_applied backwards.
  const { rows } = await tx.query<Snapshot>(
    `with written as (
       insert into engram.snapshot_rows (bank_id, snapshot_id, target, row_id, version, state, pin)
       select bank_id, $2::uuid, 'memories', id, version, case when invalidated_at is null then state else 'invalidated' end, pin
       from engram.memories where bank_id = $1
       union all
       select bank_id, $2::uuid, 'observations', id, version,
         case when retired_at is not null then 'retired' when canonical_id is not null then 'folded'
           when superseded_by is not null then 'superseded' else 'live' end, null
       from engram.observations where bank_id = $1
       returning target, state, pin),
     by_state as (select target, state, count(*) as n, count(pin) as pinned from written group by target, state)
     insert into engram.snapshots (bank_id, id, trigger, applied_no, counts)
     select $1, $2::uuid, $3,
       coalesce((select max(applied_no) from engram.change_ops where bank_id = $1 and status = 'applied'), 0),
       (select jsonb_build_object(
         'memories', coalesce(jsonb_object_agg(state, n) filter (where target = 'memories'), '{}'),
         'observations', coalesce(jsonb_object_agg(state, n) filter (where target = 'observations'), '{}'),
         'pinned', coalesce(sum(pinned), 0)) from by_state)
     returning id, made_at as "madeAt", trigger, applied_no as "appliedNo", counts`,
    [bankId, snapshot.id, snapshot.trigger],
  );
  const [made] = rows;
  if (!made) throw new Error('a snapshot was inserted and did not come back');
  return made;
}

/** Takes away all but this one and the newest `keep - 1` others. @returns ids of those that went */
export async function pruneSnapshots(
  tx: Queryable,
  bankId: string,
  options: { readonly id: string; readonly keep: number },
): Promise<string[]> {
  // Index snapshots_made; their rows go by cascade, over the first columns of the primary key.
  const { rows } = await tx.query<{ id: string }>(
    `delete from engram.snapshots where bank_id = $1 and id in (
       select id from engram.snapshots where bank_id = $1 and id <> $2
       order by made_xid desc, made_at desc, id desc offset $3)
     returning id`,
    [bankId, options.id, options.keep - 1],
  );
  return rows.map((row) => row.id);
}

/** Snapshots of a bank, newest first; in the order of transactions, which no clock that was set back changes. */
export async function listSnapshots(db: Queryable, bankId: string): Promise<Snapshot[]> {
  // Index snapshots_made; a bank has a handful.
  const { rows } = await db.query<Snapshot>(
    `select id, made_at as "madeAt", trigger, applied_no as "appliedNo", counts from engram.snapshots
     where bank_id = $1 order by made_xid desc, made_at desc, id desc`,
    [bankId],
  );
  return rows;
}

/** A bank in which something was written since its last snapshot, or that has none and was written to at all. */
export interface ChangedSinceSnapshot {
  readonly bankId: string;
  /** When that was taken, or the bank was made. */
  readonly since: Date;
  /** Counted no further than asked. */
  readonly appliedOps: number;
}

/** By bank. A transaction under way at the last snapshot may have its bank told as changed once more; none is missed. */
export async function changedSinceSnapshot(
  db: Queryable,
  options: { readonly countUpTo: number },
): Promise<{ readonly now: Date; readonly banks: readonly ChangedSinceSnapshot[] }> {
  // A bank: snapshots_made, then at most one entry each of memories_changed, observations_changed and events_changed, and
  // of change_ops_applied as many as are counted. Pins are columns of memories; what was deleted has left an event.
  const { rows } = await db.query<{ now: Date; bank_id: string | null; since: Date; applied_ops: number }>(
    `select now() as now, changed.* from (values (1)) as one(row) left join (
       select b.id as bank_id, coalesce(last.made_at, b.created_at) as since, (
         select count(*)::int from (
           select from engram.change_ops o
           where o.bank_id = b.id and o.status = 'applied' and o.applied_no > coalesce(last.applied_no, 0)
           limit $1) as counted) as applied_ops
       from engram.banks b
       left join lateral (
         select s.made_at, s.applied_no, s.seen_xid from engram.snapshots s where s.bank_id = b.id
         order by s.made_xid desc, s.made_at desc, s.id desc limit 1) as last on true
       where exists (select from engram.memories m
           where m.bank_id = b.id and m.change_xid >= coalesce(last.seen_xid, '0'::xid8))
         or exists (select from engram.observations o
           where o.bank_id = b.id and o.change_xid >= coalesce(last.seen_xid, '0'::xid8))
         or exists (select from engram.events e
           where e.bank_id = b.id and e.change_xid >= coalesce(last.seen_xid, '0'::xid8))
     ) as changed on true
     order by changed.bank_id`,
    [options.countUpTo],
  );
  return {
    now: rows[0]?.now ?? new Date(0),
    banks: rows.flatMap((row) =>
      row.bank_id === null ? [] : [{ bankId: row.bank_id, since: row.since, appliedOps: row.applied_ops }],
    ),
  };
}

/** A row as a snapshot, or the store, has it. */
export interface SnapshotRow {
  readonly version: number;
  readonly state: string;
  readonly pin: 'manual' | 'auto' | null;
}

/** What differs between two snapshots; null on the side that does not have the row. */
export interface RowDifference {
  readonly target: VectorTarget;
  readonly id: string;
  readonly before: SnapshotRow | null;
  readonly after: SnapshotRow | null;
}

/** Differences that are alike, and how many. */
export interface DifferenceGroup extends Omit<RowDifference, 'id'> {
  readonly rows: number;
}

export interface DiffPlace {
  readonly target: VectorTarget;
  readonly id: string;
}

/**
 * Rows in which two snapshots differ, by target and id, and of all pages together how many differ in which way.
 *
 * @param ids.after null: the bank as it stands
 */
export async function diffSnapshots(
  db: Queryable,
  bankId: string,
  options: {
    readonly before: string;
    readonly after: string | null;
    readonly place: DiffPlace | null;
    readonly limit: number;
  },
): Promise<{ readonly rows: readonly RowDifference[]; readonly groups: readonly DifferenceGroup[] }> {
  // Primary key of snapshot_rows, both sides in its order; of the bank as it stands, one pass over it. One statement, so
  // that the page and the sums are of one state.
  const { rows } = await db.query<{
    page:
      | (Omit<RowDifference, 'before' | 'after'> & { before: SnapshotRow | null; after: SnapshotRow | null })[]
      | null;
    groups: DifferenceGroup[] | null;
  }>(
    `with a as (
       select target, row_id, version, state, pin from engram.snapshot_rows where bank_id = $1 and snapshot_id = $2),
     b as (
       select target, row_id, version, state, pin from engram.snapshot_rows where bank_id = $1 and snapshot_id = $3
       union all
       select 'memories', id, version, case when invalidated_at is null then state else 'invalidated' end, pin
       from engram.memories where bank_id = $1 and $3::uuid is null
       union all
       select 'observations', id, version,
         case when retired_at is not null then 'retired' when canonical_id is not null then 'folded'
           when superseded_by is not null then 'superseded' else 'live' end, null
       from engram.observations where bank_id = $1 and $3::uuid is null),
     differences as materialized (
       select target, row_id, a.version as a_version, a.state as a_state, a.pin as a_pin,
         b.version as b_version, b.state as b_state, b.pin as b_pin
       from a full join b using (target, row_id)
       where a.version is distinct from b.version or a.state is distinct from b.state or a.pin is distinct from b.pin),
     page as (
       select * from differences where $4::text is null or (target, row_id) > ($4, $5::uuid)
       order by target, row_id limit $6)
     select
       (select jsonb_agg(jsonb_build_object('target', target, 'id', row_id,
           'before', case when a_state is not null then jsonb_build_object('version', a_version, 'state', a_state, 'pin', a_pin) end,
           'after', case when b_state is not null then jsonb_build_object('version', b_version, 'state', b_state, 'pin', b_pin) end)
         order by target, row_id) from page) as page,
       (select jsonb_agg(jsonb_build_object('target', target, 'rows', rows,
           'before', case when a_state is not null then jsonb_build_object('version', 0, 'state', a_state, 'pin', a_pin) end,
           'after', case when b_state is not null then jsonb_build_object('version', moved, 'state', b_state, 'pin', b_pin) end))
         from (select target, a_state, a_pin, b_state, b_pin, (a_version is distinct from b_version)::int as moved,
             count(*) as rows
           from differences group by 1, 2, 3, 4, 5, 6) as alike) as groups`,
    [bankId, options.before, options.after, options.place?.target ?? null, options.place?.id ?? null, options.limit],
  );
  return { rows: rows[0]?.page ?? [], groups: rows[0]?.groups ?? [] };
}

/** Which words to look for: those of a row in this version. */
export interface WantedText {
  readonly target: VectorTarget;
  readonly id: string;
  readonly version: number;
}

/** The words of rows in versions that may be past, in the order asked for; null where nobody has kept them. */
export async function textsInVersions(
  db: Queryable,
  bankId: string,
  wanted: readonly WantedText[],
): Promise<(string | null)[]> {
  if (wanted.length === 0) return [];
  // Primary keys; change_ops_observations (gin) where the row has moved on. A version that begins in one statement may
  // have had several texts in it: the last one is what others saw. Of memories no text is kept but the one they have,
  // and a version moves also where they are invalidated.
  const { rows } = await db.query<{ n: number; text: string | null }>(
    `select w.n, case w.target when 'memories' then (
         select m.text from engram.memories m
         where m.bank_id = $1 and m.id = w.id and (m.version = w.version or m.edited_at is null))
       else coalesce(
         (select o.text from engram.observations o where o.bank_id = $1 and o.id = w.id and o.version = w.version),
         (select image ->> 'text' from engram.change_ops c
          cross join lateral (
            select c.before -> 'target' as image union all select c.after -> 'target' union all select c.after -> 'created'
            union all select jsonb_array_elements(c.before -> 'repointed')
            union all select jsonb_array_elements(c.after -> 'repointed')) as i
          where c.bank_id = $1 and c.observation_ids @> array[w.id] and c.status in ('applied', 'undone')
            and i.image ->> 'id' = w.id::text and (i.image ->> 'version')::bigint = w.version
            and (c.erased_at is null or i.image ->> 'text' <> '[erased]')
          order by c.applied_no desc, i.image = c.after -> 'created' limit 1)) end as text
     from unnest($2::text[], $3::uuid[], $4::bigint[]) with ordinality as w(target, id, version, n)
     order by w.n`,
    [bankId, wanted.map((one) => one.target), wanted.map((one) => one.id), wanted.map((one) => one.version)],
  );
  return rows.map((row) => row.text);
}
