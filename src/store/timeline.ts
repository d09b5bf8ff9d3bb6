import type { Queryable } from '../db/database.ts';

/**
 * Where somebody stands in a timeline. Ids are given before the commit, so that a row may come into sight behind a later
 * one; a transaction's own number and the oldest number still under way tell when nothing more can come before a place.
 */
export interface TimelinePlace {
  /** The store it is a place in (engram.timeline_store): in another, or after a restore, transactions have other numbers. */
  readonly store: string;
  /** Of the transaction that wrote the row; an xid8, which a Number does not hold. */
  readonly xid: string;
  readonly id: number;
}

export interface TimelineRow {
  readonly place: TimelinePlace;
  readonly at: Date;
  readonly kind: string;
  readonly memoryId: string | null;
  readonly observationId: string | null;
  readonly changeSetId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
  /** The beginning of what the memory or observation says now; null where it says nothing any more. */
  readonly text: string | null;
}

export interface TimelinePage {
  readonly rows: readonly TimelineRow[];
  /** More than the rows asked for. */
  readonly hasMore: boolean;
  /** Where to read on so that nothing is missed, however late it commits. */
  readonly readOnFrom: TimelinePlace;
}

/** A bank's timeline, of one kind, of one family of kinds (`memory`), or all of it. */
interface Asked {
  readonly bankId: string;
  readonly kind: string | null;
}

/** Characters of a text: a line of the timeline reminds, `explain` tells. */
const textLength = 200;

interface Row {
  store: string;
  horizon: string;
  xid: string | null;
  id: number | null;
  at: Date;
  kind: string;
  memory_id: string | null;
  observation_id: string | null;
  change_set_id: string | null;
  detail: Record<string, unknown>;
  text: string | null;
}

/** Newest first, all that can be seen, before a place. @returns null where that is one of another store */
export async function readBack(
  db: Queryable,
  asked: Asked & { readonly before: TimelinePlace | null; readonly limit: number },
): Promise<TimelinePage | null> {
  // Index events_changed, backwards; primary keys. The horizon comes also where no row does.
  const { rows } = await db.query<Row>(
    `with horizon as materialized (
       select engram.timeline_store() as store, pg_snapshot_xmin(pg_current_snapshot()) as xid),
     page as materialized (
       select * from engram.events e
       where e.bank_id = $1 and ($2::text is null or e.kind = $2 or starts_with(e.kind, $2 || '.'))
         and ($3::xid8 is null or (e.change_xid, e.id) < ($3::xid8, $4::bigint))
       order by e.change_xid desc, e.id desc limit $5)
     select h.store, h.xid::text as horizon, e.change_xid::text as xid, e.id, e.at, e.kind, e.memory_id, e.observation_id,
       e.change_set_id, e.detail, left(coalesce(o.text, m.text), $6) as text
     from horizon h
     left join page e on true
     left join engram.memories m on m.bank_id = e.bank_id and m.id = e.memory_id
     left join engram.observations o on o.bank_id = e.bank_id and o.id = e.observation_id
     order by e.change_xid desc, e.id desc`,
    [asked.bankId, asked.kind, asked.before?.xid ?? null, asked.before?.id ?? null, asked.limit + 1, textLength],
  );
  const readOnFrom = horizonOf(rows[0]);
  if (asked.before && asked.before.store !== readOnFrom.store) return null;
  return { ...pageOf(rows, asked.limit), readOnFrom };
}

/** Somebody who reads on. */
export interface TimelineReader extends Asked {
  readonly after: TimelinePlace;
}

/**
 * What each has not read, oldest first, up to the oldest transaction under way: whatever commits later stands behind all
 * that is given here, so that whoever goes on from `readOnFrom` sees each row once. One statement for all readers.
 *
 * @returns null for whoever stands in another store
 */
export async function readOn(
  db: Queryable,
  readers: readonly TimelineReader[],
  limit: number,
): Promise<(TimelinePage | null)[]> {
  if (readers.length === 0) return [];
  // Index events_changed; primary keys.
  const { rows } = await db.query<Row & { n: number }>(
    `with horizon as materialized (
       select engram.timeline_store() as store, pg_snapshot_xmin(pg_current_snapshot()) as xid)
     select r.n::int as n, h.store, h.xid::text as horizon, e.change_xid::text as xid, e.id, e.at, e.kind, e.memory_id,
       e.observation_id, e.change_set_id, e.detail, left(coalesce(o.text, m.text), $6) as text
     from horizon h
     cross join unnest($1::text[], $2::text[], $3::xid8[], $4::bigint[]) with ordinality as r(bank_id, kind, xid, id, n)
     left join lateral (
       select * from engram.events e
       where e.bank_id = r.bank_id and (e.change_xid, e.id) > (r.xid, r.id) and e.change_xid < h.xid
         and (r.kind is null or e.kind = r.kind or starts_with(e.kind, r.kind || '.'))
       order by e.change_xid, e.id limit $5) as e on true
     left join engram.memories m on m.bank_id = e.bank_id and m.id = e.memory_id
     left join engram.observations o on o.bank_id = e.bank_id and o.id = e.observation_id
     order by r.n, e.change_xid, e.id`,
    [
      readers.map((reader) => reader.bankId),
      readers.map((reader) => reader.kind),
      readers.map((reader) => reader.after.xid),
      readers.map((reader) => reader.after.id),
      limit + 1,
      textLength,
    ],
  );
  const byReader = Map.groupBy(rows, (row) => row.n);
  return readers.map((reader, index) => {
    const found = byReader.get(index + 1) ?? [];
    const end = horizonOf(found[0]);
    if (reader.after.store !== end.store) return null;
    const page = pageOf(found, limit);
    const last = page.rows.at(-1);
    return { ...page, readOnFrom: page.hasMore && last ? last.place : end };
  });
}

/** Where a timeline that is read from now on begins. */
export async function endOfTimeline(db: Queryable): Promise<TimelinePlace> {
  const { rows } = await db.query<{ store: string; horizon: string }>(
    'select engram.timeline_store() as store, pg_snapshot_xmin(pg_current_snapshot())::text as horizon',
  );
  return horizonOf(rows[0]);
}

/** Ids begin at 1: behind this place stands everything that the transaction writes. */
function horizonOf(row: { readonly store: string; readonly horizon: string } | undefined): TimelinePlace {
  if (!row) throw new Error('a statement that always gives a row gave none');
  return { store: row.store, xid: row.horizon, id: 0 };
}

function pageOf(rows: readonly Row[], limit: number): Pick<TimelinePage, 'rows' | 'hasMore'> {
  const found = rows.flatMap((row): TimelineRow[] =>
    row.xid === null || row.id === null
      ? []
      : [
          {
            place: { store: row.store, xid: row.xid, id: row.id },
            at: row.at,
            kind: row.kind,
            memoryId: row.memory_id,
            observationId: row.observation_id,
            changeSetId: row.change_set_id,
            detail: row.detail,
            text: row.text,
          },
        ],
  );
  return { rows: found.slice(0, limit), hasMore: found.length > limit };
}
