import type { Queryable } from '../db/database.ts';

export interface SequenceValue {
  readonly name: string;
  /** As text: it goes to 2^63. */
  readonly lastValue: string;
}

/** Sequences of schema `engram` with the last value that each has given; 0: none yet. */
export async function readSequences(db: Queryable): Promise<SequenceValue[]> {
  // A look into the catalog of one schema.
  const { rows } = await db.query<SequenceValue>(
    `select sequencename as name, coalesce(last_value, 0)::text as "lastValue" from pg_sequences
     where schemaname = 'engram' order by sequencename`,
  );
  return rows;
}

/** Moves them on to at least these. None goes back (law L22), and one that is not there any more is nobody's. */
export async function setSequences(db: Queryable, values: readonly SequenceValue[]): Promise<void> {
  // A look into the catalog of one schema.
  await db.query(
    `select setval(format('engram.%I', s.sequencename)::regclass, v.last_value)
     from pg_sequences s join unnest($1::text[], $2::bigint[]) as v (name, last_value) on v.name = s.sequencename
     where s.schemaname = 'engram' and v.last_value > coalesce(s.last_value, 0)`,
    [values.map(({ name }) => name), values.map(({ lastValue }) => lastValue)],
  );
}
