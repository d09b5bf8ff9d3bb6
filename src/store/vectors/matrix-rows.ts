import type { Database, Queryable } from '../../db/database.ts';
import type { VectorTarget } from './vector-index.ts';

/** What a matrix is of. */
export interface MatrixKey {
  readonly bankId: string;
  readonly target: VectorTarget;
  readonly model: string;
}

/** The point in the database's history up to which a matrix has read. */
export interface ReadMark {
  /** `pg_current_snapshot()` of the read. */
  readonly snapshot: string;
  /** By the database's clock, in seconds since the epoch. */
  readonly readAtSeconds: number;
}

export interface MatrixRow {
  readonly id: string;
  readonly tags: string[];
  readonly live: boolean;
  /** `array_send(embedding)`; null: the row is gone or has no vector of this model (any more). */
  readonly bytes: Buffer | null;
}

export interface Delta {
  readonly mark: ReadMark;
  /** The last read is too far back for tombstones to be complete, or lies in the future of this server. */
  readonly mustReadWhole: boolean;
  /** At most `limit` + 1 of the changed and as many of the deleted rows. */
  readonly rows: MatrixRow[];
}

/** Filters of a page; null and false: none. */
export interface PageFilter {
  readonly scope: readonly string[] | null;
  readonly liveOnly: boolean;
}

/*
 * A row is read again when the transaction that wrote it last was not visible in the snapshot of the last read. A
 * sequence or a time would skip what began earlier and commits later. `change_xid >= pg_snapshot_xmin` alone misses
 * nothing either and is the bound that the index uses; but for as long as one long transaction holds xmin back it would
 * read everything since again at each search, old tombstones of rows that have come back included.
 *
 * Each statement is one snapshot, so that its mark, its rows and its tombstones belong together.
 */

type DeltaRow = MatrixRow & { snapshot: string | null; read_at: number | null; must_read_whole: boolean | null };

// Index: observations_changed, vector_tombstones_changed.
const observationsDelta = `
  select null::uuid as id, '{}'::text[] as tags, false as live, null::bytea as bytes,
    pg_current_snapshot()::text as snapshot, extract(epoch from statement_timestamp())::float8 as read_at,
    extract(epoch from statement_timestamp())::float8 - $4::float8 > 12 * 3600
      or pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmin($3::pg_snapshot) as must_read_whole
  union all
  (select o.id, o.tags, o.is_live, case when o.embedding_model = $2 then array_send(o.embedding) end, null, null, null
    from engram.observations o
    where o.bank_id = $1 and o.change_xid >= pg_snapshot_xmin($3::pg_snapshot)
      and not pg_visible_in_snapshot(o.change_xid, $3::pg_snapshot)
    limit $5)
  union all
  (select t.row_id, '{}', false, null, null, null, null
    from engram.vector_tombstones t
    where t.bank_id = $1 and t.target = 'observations' and t.change_xid >= pg_snapshot_xmin($3::pg_snapshot)
      and not pg_visible_in_snapshot(t.change_xid, $3::pg_snapshot)
    limit $5)`;

// Index: memories_changed, vector_tombstones_changed.
const memoriesDelta = `
  select null::uuid as id, '{}'::text[] as tags, false as live, null::bytea as bytes,
    pg_current_snapshot()::text as snapshot, extract(epoch from statement_timestamp())::float8 as read_at,
    extract(epoch from statement_timestamp())::float8 - $4::float8 > 12 * 3600
      or pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmin($3::pg_snapshot) as must_read_whole
  union all
  (select m.id, m.tags, m.invalidated_at is null, case when m.embedding_model = $2 then array_send(m.embedding) end,
      null, null, null
    from engram.memories m
    where m.bank_id = $1 and m.change_xid >= pg_snapshot_xmin($3::pg_snapshot)
      and not pg_visible_in_snapshot(m.change_xid, $3::pg_snapshot)
    limit $5)
  union all
  (select t.row_id, '{}', false, null, null, null, null
    from engram.vector_tombstones t
    where t.bank_id = $1 and t.target = 'memories' and t.change_xid >= pg_snapshot_xmin($3::pg_snapshot)
      and not pg_visible_in_snapshot(t.change_xid, $3::pg_snapshot)
    limit $5)`;

/** What changed since the last read: one round trip, one row where nothing did. */
export async function readDelta(db: Queryable, key: MatrixKey, since: ReadMark, limit: number): Promise<Delta> {
  const { rows } = await db.query<DeltaRow>(key.target === 'observations' ? observationsDelta : memoriesDelta, [
    key.bankId,
    key.model,
    since.snapshot,
    since.readAtSeconds,
    limit + 1,
  ]);
  // By its content: a parallel append may put it anywhere.
  const mark = rows.find((row) => row.snapshot !== null);
  if (mark === undefined || mark.snapshot === null || mark.read_at === null)
    throw new Error('a delta without its mark');
  return {
    mark: { snapshot: mark.snapshot, readAtSeconds: mark.read_at },
    mustReadWhole: mark.must_read_whole ?? false,
    rows: rows.filter((row) => row !== mark),
  };
}

// Index: observations_pkey, or observations_scope where a scope is given.
const observationsPage = `
  select o.id, o.tags, o.is_live as live, array_send(o.embedding) as bytes
  from engram.observations o
  where o.bank_id = $1 and o.embedding_model = $2 and ($3::uuid is null or o.id > $3)
    and ($4::text[] is null or o.tags = $4) and (not $5::boolean or o.is_live)
  order by o.id limit $6`;

// Index: memories_pkey.
const memoriesPage = `
  select m.id, m.tags, m.invalidated_at is null as live, array_send(m.embedding) as bytes
  from engram.memories m
  where m.bank_id = $1 and m.embedding_model = $2 and ($3::uuid is null or m.id > $3)
    and ($4::text[] is null or m.tags = $4) and (not $5::boolean or m.invalidated_at is null)
  order by m.id limit $6`;

/**
 * Reads every row in pages, all in one snapshot, whose mark it returns. `onPage` may say `stop`.
 *
 * @param pageRows rows a page: bounds what this process holds at a time.
 */
export async function readWhole(
  db: Database,
  key: MatrixKey,
  options: { readonly filter: PageFilter; readonly pageRows: number },
  onPage: (rows: readonly MatrixRow[]) => Promise<'continue' | 'stop'>,
): Promise<ReadMark> {
  const { filter, pageRows } = options;
  // Not retried: `onPage` has effects, and a read-only snapshot meets nobody.
  return db.tx({ label: 'read vectors', isolation: 'repeatable read', readOnly: true, retries: 0 }, async (tx) => {
    const { rows: marks } = await tx.query<{ snapshot: string; read_at: number }>(
      `select pg_current_snapshot()::text as snapshot, extract(epoch from statement_timestamp())::float8 as read_at`,
    );
    const mark = marks[0];
    if (!mark) throw new Error('a snapshot without its mark');
    let after: string | null = null;
    for (;;) {
      const page: { rows: MatrixRow[] } = await tx.query<MatrixRow>(
        key.target === 'observations' ? observationsPage : memoriesPage,
        [key.bankId, key.model, after, filter.scope, filter.liveOnly, pageRows],
      );
      if (page.rows.length > 0 && (await onPage(page.rows)) === 'stop') break;
      if (page.rows.length < pageRows) break;
      after = page.rows.at(-1)?.id ?? null;
    }
    return { snapshot: mark.snapshot, readAtSeconds: mark.read_at };
  });
}
