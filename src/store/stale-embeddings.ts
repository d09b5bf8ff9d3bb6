import type { Queryable } from '../db/database.ts';
import type { TextToEmbed } from './next-embeddings.ts';
import { encodeRealArray } from './vectors/vector-bytes.ts';
import type { VectorTarget } from './vectors/vector-index.ts';

/**
 * Rows of a bank whose vectors come from a model that is not the active one: brought back from before a switch, or
 * written while it happened. No search compares them with anything until they are embedded again.
 *
 * Indexes memories_by_model and observations_by_model, from both sides of the active model: `<>` has no index. Texts
 * that the model cannot take are marked in next_embeddings and stay as they are; they are passed over before anything is
 * counted, or a thousand of them would hide whatever comes after.
 */
const staleMemories = `
  select s.id, s.text, encode(s.content_hash, 'hex') as hash from engram.embedding_models a
  cross join lateral (
    (select m.id, m.text, m.content_hash from engram.memories m
      where m.bank_id = $1 and m.embedding_model < a.id and m.invalidated_at is null
        and not exists (select from engram.next_embeddings n where n.bank_id = m.bank_id and n.target = 'memories'
          and n.row_id = m.id and n.model = a.id and n.content_hash = m.content_hash)
      limit $2)
    union all
    (select m.id, m.text, m.content_hash from engram.memories m
      where m.bank_id = $1 and m.embedding_model > a.id and m.invalidated_at is null
        and not exists (select from engram.next_embeddings n where n.bank_id = m.bank_id and n.target = 'memories'
          and n.row_id = m.id and n.model = a.id and n.content_hash = m.content_hash)
      limit $2)
  ) as s
  where a.is_active limit $2`;

const staleObservations = `
  select s.id, s.text, encode(s.content_hash, 'hex') as hash from engram.embedding_models a
  cross join lateral (
    (select o.id, o.text, o.content_hash from engram.observations o
      where o.bank_id = $1 and o.embedding_model < a.id and o.retired_at is null
        and not exists (select from engram.next_embeddings n where n.bank_id = o.bank_id and n.target = 'observations'
          and n.row_id = o.id and n.model = a.id and n.content_hash = o.content_hash)
      limit $2)
    union all
    (select o.id, o.text, o.content_hash from engram.observations o
      where o.bank_id = $1 and o.embedding_model > a.id and o.retired_at is null
        and not exists (select from engram.next_embeddings n where n.bank_id = o.bank_id and n.target = 'observations'
          and n.row_id = o.id and n.model = a.id and n.content_hash = o.content_hash)
      limit $2)
  ) as s
  where a.is_active limit $2`;

export async function selectStale(
  db: Queryable,
  bankId: string,
  target: VectorTarget,
  limit: number,
): Promise<TextToEmbed[]> {
  const { rows } = await db.query<TextToEmbed>(target === 'memories' ? staleMemories : staleObservations, [
    bankId,
    limit,
  ]);
  return rows;
}

/** Gives stale rows vectors of the active model, each for the text that was read and no other (law L6). */
export async function storeFreshEmbeddings(
  tx: Queryable,
  bankId: string,
  options: {
    readonly target: VectorTarget;
    readonly model: string;
    readonly rows: readonly { readonly id: string; readonly hash: string; readonly vector: Float32Array }[];
  },
): Promise<number> {
  if (options.rows.length === 0) return 0;
  // Primary key. Locked in id order first (law L4).
  const { rowCount } = await tx.query(options.target === 'memories' ? freshMemories : freshObservations, [
    bankId,
    options.model,
    options.rows.map((row) => row.id),
    options.rows.map((row) => row.hash),
    options.rows.map((row) => encodeRealArray(row.vector)),
  ]);
  return rowCount;
}

const freshMemories = `
  with wanted as (
    select m.id, w.vector from engram.memories m
    join unnest($3::uuid[], $4::text[], $5::text[]) as w(id, hash, vector)
      on m.id = w.id and m.content_hash = decode(w.hash, 'hex')
    where m.bank_id = $1 and m.embedding is not null order by m.id for no key update of m)
  update engram.memories m set embedding = wanted.vector::real[], embedding_model = $2
  from wanted where m.bank_id = $1 and m.id = wanted.id`;

const freshObservations = `
  with wanted as (
    select o.id, w.vector from engram.observations o
    join unnest($3::uuid[], $4::text[], $5::text[]) as w(id, hash, vector)
      on o.id = w.id and o.content_hash = decode(w.hash, 'hex')
    where o.bank_id = $1 order by o.id for no key update of o)
  update engram.observations o set embedding = wanted.vector::real[], embedding_model = $2
  from wanted where o.bank_id = $1 and o.id = wanted.id`;
