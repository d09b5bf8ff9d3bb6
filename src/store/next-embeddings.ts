import type { Queryable } from '../db/database.ts';
import { encodeRealArray } from './vectors/vector-bytes.ts';
import type { VectorTarget } from './vectors/vector-index.ts';

/**
 * Vectors of the model to come, beside those in use. Needed for whatever a search can find or an undo can bring back:
 * memories that are valid, observations that are not retired. What is brought back later still has the vector that it had
 * and is embedded again as stale (see `stale-embeddings.ts`).
 */

export interface TextToEmbed {
  readonly id: string;
  readonly text: string;
  /** Of the text, as hex: a vector is stored for this text or not at all (law L6). */
  readonly hash: string;
}

/** Rows after `afterId` that have no vector of the model yet, or one of another text. */
export async function selectWithoutNext(
  db: Queryable,
  bankId: string,
  page: {
    readonly target: VectorTarget;
    readonly model: string;
    readonly afterId: string | null;
    readonly limit: number;
  },
): Promise<TextToEmbed[]> {
  // Primary keys of the table and of next_embeddings, walked in id order side by side.
  const { rows } = await db.query<TextToEmbed>(
    page.target === 'memories' ? memoriesWithoutNext : observationsWithoutNext,
    [bankId, page.model, page.afterId, page.limit],
  );
  return rows;
}

// A memory that waits for its first vector gets one here too; one parked as unembeddable never had one.
const memoriesWithoutNext = `
  select m.id, m.text, encode(m.content_hash, 'hex') as hash from engram.memories m
  where m.bank_id = $1 and ($3::uuid is null or m.id > $3) and m.invalidated_at is null
    and (m.embedding is not null or m.state <> 'parked')
    and not exists (select from engram.next_embeddings n where n.bank_id = m.bank_id and n.target = 'memories'
      and n.row_id = m.id and n.model = $2 and n.content_hash = m.content_hash)
  order by m.id limit $4`;

const observationsWithoutNext = `
  select o.id, o.text, encode(o.content_hash, 'hex') as hash from engram.observations o
  where o.bank_id = $1 and ($3::uuid is null or o.id > $3) and o.retired_at is null
    and not exists (select from engram.next_embeddings n where n.bank_id = o.bank_id and n.target = 'observations'
      and n.row_id = o.id and n.model = $2 and n.content_hash = o.content_hash)
  order by o.id limit $4`;

export interface NextEmbedding {
  readonly id: string;
  readonly hash: string;
  /** Null: the model cannot take the text. */
  readonly vector: Float32Array | null;
}

/** Keeps vectors of rows that still have the text; none where the switch has been cancelled since. */
export async function storeNextEmbeddings(
  db: Queryable,
  bankId: string,
  options: { readonly target: VectorTarget; readonly model: string; readonly rows: readonly NextEmbedding[] },
): Promise<number> {
  if (options.rows.length === 0) return 0;
  const { rowCount } = await db.query(options.target === 'memories' ? storeForMemories : storeForObservations, [
    bankId,
    options.model,
    options.rows.map((row) => row.id),
    options.rows.map((row) => row.hash),
    options.rows.map((row) => (row.vector === null ? null : encodeRealArray(row.vector))),
  ]);
  return rowCount;
}

// Primary keys. Locked against what would leave these vectors behind for ever: a cancel, or an erasure, which has been
// through here by the time that they come. Of a text that has changed meanwhile nothing is kept.
const storeForMemories = `
  with wanted as (
    select e.id from engram.embedding_models e
    where e.id = $2 and (e.switch_started_at is not null or e.is_active) for share),
  there as (
    select m.id, m.content_hash from engram.memories m
    where m.bank_id = $1 and m.id = any($3::uuid[]) order by m.id for share)
  insert into engram.next_embeddings (bank_id, target, row_id, model, content_hash, embedding)
  select $1, 'memories', r.id, w.id, t.content_hash, r.vector::real[]
  from wanted w, unnest($3::uuid[], $4::text[], $5::text[]) as r(id, hash, vector)
  join there t on t.id = r.id and t.content_hash = decode(r.hash, 'hex')
  on conflict (bank_id, target, row_id, model) do update
    set content_hash = excluded.content_hash, embedding = excluded.embedding`;

const storeForObservations = `
  with wanted as (
    select e.id from engram.embedding_models e
    where e.id = $2 and (e.switch_started_at is not null or e.is_active) for share),
  there as (
    select o.id, o.content_hash from engram.observations o
    where o.bank_id = $1 and o.id = any($3::uuid[]) order by o.id for share)
  insert into engram.next_embeddings (bank_id, target, row_id, model, content_hash, embedding)
  select $1, 'observations', r.id, w.id, t.content_hash, r.vector::real[]
  from wanted w, unnest($3::uuid[], $4::text[], $5::text[]) as r(id, hash, vector)
  join there t on t.id = r.id and t.content_hash = decode(r.hash, 'hex')
  on conflict (bank_id, target, row_id, model) do update
    set content_hash = excluded.content_hash, embedding = excluded.embedding`;

/**
 * Puts the vectors of at most `limit` rows, in id order, in the place of those in use. A row whose text has changed keeps
 * what it has.
 *
 * @returns the last id looked at; null when there are no more.
 */
export async function moveNextEmbeddings(
  tx: Queryable,
  bankId: string,
  page: {
    readonly target: VectorTarget;
    readonly model: string;
    readonly afterId: string | null;
    readonly limit: number;
  },
): Promise<string | null> {
  // Primary keys; locked in id order before anything is written, as everywhere (law L4).
  const { rows } = await tx.query<{ last: string | null }>(
    page.target === 'memories' ? moveMemories : moveObservations,
    [bankId, page.model, page.afterId, page.limit],
  );
  return rows[0]?.last ?? null;
}

const moveMemories = `
  with page as (
    select n.row_id, n.content_hash, n.embedding from engram.next_embeddings n
    where n.bank_id = $1 and n.target = 'memories' and n.model = $2 and ($3::uuid is null or n.row_id > $3)
    order by n.row_id limit $4),
  locked as (
    select m.id from engram.memories m where m.bank_id = $1 and m.id in (select row_id from page)
    order by m.id for no key update),
  moved as (
    update engram.memories m set embedding = p.embedding, embedding_model = $2
    from page p join locked l on l.id = p.row_id
    where m.bank_id = $1 and m.id = p.row_id and m.content_hash = p.content_hash and p.embedding is not null)
  select row_id as last from page order by row_id desc limit 1`;

const moveObservations = `
  with page as (
    select n.row_id, n.content_hash, n.embedding from engram.next_embeddings n
    where n.bank_id = $1 and n.target = 'observations' and n.model = $2 and ($3::uuid is null or n.row_id > $3)
    order by n.row_id limit $4),
  locked as (
    select o.id from engram.observations o where o.bank_id = $1 and o.id in (select row_id from page)
    order by o.id for no key update),
  moved as (
    update engram.observations o set embedding = p.embedding, embedding_model = $2
    from page p join locked l on l.id = p.row_id
    where o.bank_id = $1 and o.id = p.row_id and o.content_hash = p.content_hash and p.embedding is not null)
  select row_id as last from page order by row_id desc limit 1`;

/** What a switch has to embed, over all banks: how many texts, their UTF-8 bytes, and how many of them the model has. */
export interface SwitchVolume {
  readonly texts: number;
  readonly bytes: number;
  readonly done: number;
}

/** @param model null: nothing is done yet. */
export async function measureSwitch(db: Queryable, model: string | null): Promise<SwitchVolume> {
  // Reads both tables once; asked by a person, not by a loop.
  const { rows } = await db.query<SwitchVolume>(
    `with wanted as (
       select m.bank_id, 'memories' as target, m.id, m.content_hash, octet_length(m.text) as bytes
       from engram.memories m where m.invalidated_at is null and (m.embedding is not null or m.state <> 'parked')
       union all
       select o.bank_id, 'observations', o.id, o.content_hash, octet_length(o.text)
       from engram.observations o where o.retired_at is null)
     select count(*) as texts, coalesce(sum(w.bytes), 0)::bigint as bytes, count(n.row_id) as done
     from wanted w left join engram.next_embeddings n on n.bank_id = w.bank_id and n.target = w.target
       and n.row_id = w.id and n.content_hash = w.content_hash and n.model = $1`,
    [model],
  );
  return rows[0] ?? { texts: 0, bytes: 0, done: 0 };
}

/** Every bank, by id: a switch is of the whole database. */
export async function bankIdsInOrder(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>('select id from engram.banks order by id');
  return rows.map((row) => row.id);
}
