import type { Queryable } from '../db/database.ts';
import { memoryStood, wasThen } from './as-of-sql.ts';
import type { RecallScope } from './recall-rows.ts';
import type { VectorTarget } from './vectors/vector-index.ts';

/** A row for which an index over live rows gives no answer, or another than then. */
export interface VectorApart {
  readonly target: VectorTarget;
  readonly id: string;
  /** It was not to be found then. */
  readonly isHidden: boolean;
  /** Its own vector is of another text: the one of then is what this op replaced, if it has kept one. */
  readonly isOther: boolean;
  readonly setId: string | null;
  readonly seq: number | null;
}

export async function vectorsApart(db: Queryable, scope: RecallScope, at: Date): Promise<VectorApart[]> {
  // change_ops_applied_at, primary keys; memories_invalidated.
  const { rows } = await db.query<VectorApart>(
    `with ${wasThen}
     select 'observations' as target, o.id, not t.is_found as "isHidden", t.is_other as "isOther",
       case when t.is_other then was.vector_set_id end as "setId", case when t.is_other then was.vector_seq end as seq
     from was join engram.observations o on o.bank_id = $1 and o.id = was.id
     cross join lateral (
       select was.stood and (was.needs_replan_at is null or was.needs_replan_at > $2) and o.tags @> $4::text[]
           and case when was.retired_at is not null then 'retired' when was.canonical_id is not null then 'folded'
             when was.superseded_by is not null then 'superseded' else 'live' end = any($5::text[]) as is_found,
         o.text is distinct from was.text as is_other) as t
     where 'observations' = any($3::text[]) and (not t.is_found or not o.is_live or t.is_other)
     union all
     select 'memories', m.id, false, false, null, null from engram.memories m
     where 'memories' = any($3::text[]) and m.bank_id = $1 and m.invalidated_at > $2 and m.tags @> $4::text[]
       and ${memoryStood}`,
    [scope.bankId, at, scope.targets, scope.tags, scope.observationStates],
  );
  return rows;
}

/** Vectors of this model, as `array_send` makes them, in no order; a row without one is left out. */
export async function loadVectorsApart(
  db: Queryable,
  bankId: string,
  options: { readonly model: string; readonly rows: readonly VectorApart[] },
): Promise<{ readonly target: VectorTarget; readonly id: string; readonly vector: Buffer }[]> {
  const { rows } = await db.query<{ target: VectorTarget; id: string; vector: Buffer }>(
    // Primary keys.
    `select w.target, w.id, coalesce(c.before_embedding, array_send(o.embedding), array_send(m.embedding)) as vector
     from unnest($3::text[], $4::uuid[], $5::uuid[], $6::int[], $7::boolean[]) as w(target, id, set_id, seq, is_other)
     left join engram.change_ops c on c.bank_id = $1 and c.change_set_id = w.set_id and c.seq = w.seq
       and c.before_embedding_model = $2
     left join engram.observations o on w.target = 'observations' and not w.is_other
       and o.bank_id = $1 and o.id = w.id and o.embedding_model = $2
     left join engram.memories m on w.target = 'memories' and m.bank_id = $1 and m.id = w.id and m.embedding_model = $2
     where coalesce(c.before_embedding_model, o.embedding_model, m.embedding_model) is not null`,
    [
      bankId,
      options.model,
      options.rows.map((row) => row.target),
      options.rows.map((row) => row.id),
      options.rows.map((row) => row.setId),
      options.rows.map((row) => row.seq),
      options.rows.map((row) => row.isOther),
    ],
  );
  return rows;
}
