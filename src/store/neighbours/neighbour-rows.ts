import type { Queryable } from '../../db/database.ts';

/** What may have neighbours: live, not about to be written again, and with a vector of this model. */
const eligible = 'o.bank_id = $1 and o.embedding_model = $2 and o.is_live and o.needs_replan_at is null';

/**
 * Every change by a transaction below this has been seen by whatever is read after: all of them had ended.
 * Text: compared by the server alone.
 */
export async function readSeenXid(db: Queryable): Promise<string> {
  // No table.
  const { rows } = await db.query<{ seen: string }>('select pg_snapshot_xmin(pg_current_snapshot())::text as seen');
  const [row] = rows;
  if (!row) throw new Error('no snapshot');
  return row.seen;
}

/** How long the vectors of a model are; null for one that was never used. */
export async function readDimensions(db: Queryable, modelId: string): Promise<number | null> {
  // Primary key.
  const { rows } = await db.query<{ dimensions: number }>(
    'select dimensions from engram.embedding_models where id = $1',
    [modelId],
  );
  return rows[0]?.dimensions ?? null;
}

export interface NeighbourRow {
  readonly id: string;
  readonly tags: string[];
  /** `array_send(embedding)`. */
  readonly bytes: Buffer;
}

/** A page of the rows by id, behind `after`. A statement of its own: nothing is held while the page is worked on. */
export async function readNeighbourPage(
  db: Queryable,
  bankId: string,
  page: { readonly modelId: string; readonly after: string | null; readonly limit: number },
): Promise<NeighbourRow[]> {
  // Index: observations_pkey.
  const { rows } = await db.query<NeighbourRow>(
    `select o.id, o.tags, array_send(o.embedding) as bytes from engram.observations o
     where ${eligible} and ($3::uuid is null or o.id > $3) order by o.id limit $4`,
    [bankId, page.modelId, page.after, page.limit],
  );
  return rows;
}

/** How many rows there are, and how many changed since; no more than `most` of the latter are counted. */
export async function countNeighbourRows(
  db: Queryable,
  bankId: string,
  since: { readonly modelId: string; readonly seenXid: string; readonly most: number },
): Promise<{ readonly rows: number; readonly dirty: number }> {
  // Indexes: observations_pkey, with a look at each row of the bank (50,000: 20 ms), and observations_changed. What died
  // has changed, and so has what is to be written again.
  const { rows } = await db.query<{ rows: number; dirty: number }>(
    `select
       (select count(*) from engram.observations o where ${eligible})::int as rows,
       (select count(*) from (
          select from engram.observations o where o.bank_id = $1 and o.change_xid >= $3::xid8 limit $4) changed)::int as dirty`,
    [bankId, since.modelId, since.seenXid, since.most],
  );
  const [row] = rows;
  if (!row) throw new Error('a count without a row');
  return row;
}
