import type { Queryable } from '../db/database.ts';

/** Most that may be spent or reserved in a day. */
export interface DayLimits {
  /** Billionths of a dollar, of models with a price. */
  readonly nanoUsd: number;
  /** Of all models; null: no such limit. */
  readonly tokens: number | null;
  /** Of models whose price is unknown. */
  readonly unpricedTokens: number;
}

/** What a call takes of the day. */
export interface Amounts {
  readonly nanoUsd: number;
  readonly tokens: number;
  readonly unpricedTokens: number;
}

export interface Ledger extends Amounts {
  /** Of the amounts, what belongs to calls under way, which give back what they do not use. */
  readonly reserved: Amounts;
}

/** What is spent or reserved of a day (`YYYY-MM-DD`, local to the daemons). */
export async function readLedger(db: Queryable, day: string): Promise<Ledger> {
  // Primary key; then model_calls_settled, whose first rows are those without an end. Who has been under way for 15
  // minutes has died over it, and gives nothing back.
  const { rows } = await db.query<{
    nano_usd: number;
    tokens: number;
    unpriced_tokens: number;
    reserved_nano_usd: number;
    reserved_tokens: number;
    reserved_unpriced_tokens: number;
  }>(
    `select coalesce(l.nano_usd, 0) as nano_usd, coalesce(l.tokens, 0) as tokens,
       coalesce(l.unpriced_tokens, 0) as unpriced_tokens, r.*
     from (
       select coalesce(sum(nano_usd), 0)::bigint as reserved_nano_usd, coalesce(sum(tokens), 0)::bigint as reserved_tokens,
         coalesce(sum(unpriced_tokens), 0)::bigint as reserved_unpriced_tokens
       from engram.model_calls
       where settled_at is null and day = $1::date and started_at > now() - interval '15 minutes') as r
     left join engram.budget_ledger l on l.day = $1::date`,
    [day],
  );
  const [row] = rows;
  if (!row) throw new Error('an aggregate answered with no row');
  return {
    nanoUsd: row.nano_usd,
    tokens: row.tokens,
    unpricedTokens: row.unpriced_tokens,
    reserved: {
      nanoUsd: row.reserved_nano_usd,
      tokens: row.reserved_tokens,
      unpricedTokens: row.reserved_unpriced_tokens,
    },
  };
}
