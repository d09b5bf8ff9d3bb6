import type { Queryable } from '../db/database.ts';

export const costGroupings = ['day', 'bank', 'purpose', 'model'] as const;
export type CostGrouping = (typeof costGroupings)[number];

/** What calls of models cost; money in billionths of a dollar. */
export interface Costs {
  readonly calls: number;
  /** As providers counted them; `cachedTokens` are part of `promptTokens`. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
  /** All that was booked: also for calls whose use nobody told. */
  readonly tokens: number;
  /** Of models without a price, which cost 0 here. */
  readonly unpricedTokens: number;
  readonly nanoUsd: number;
  /** Of `nanoUsd`, what consolidation itself took: proposing, judging pairs, writing again. Scores are no part of it. */
  readonly consolidationNanoUsd: number;
  /**
   * Memories that were decided with it, each as often as its decision stood. What 1,000 cost is `consolidationNanoUsd` by
   * these: refused answers, halves of a split batch and dry runs cost, and are of no memory.
   */
  readonly memories: number;
}

export interface CostRow extends Costs {
  /** The day, bank, purpose or model; null: of no bank. */
  readonly key: string | null;
}

/** Days are local to the daemons, `YYYY-MM-DD`, both ends included. A bank's costs outlive it. */
export interface CostRange {
  readonly from: string;
  readonly to: string;
  readonly by: CostGrouping;
  readonly bankId?: string | undefined;
}

interface StoredCosts {
  key: string | null;
  calls: number;
  prompt_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  tokens: number;
  unpriced_tokens: number;
  nano_usd: number;
  consolidation_nano_usd: number;
  memories: number;
}

/** What was spent: days in their order, else the dearest first. */
export async function costReport(db: Queryable, range: CostRange): Promise<CostRow[]> {
  // Index model_calls_day over the range, or model_calls_bank. What was not sent cost nothing and was no call.
  const { rows } = await db.query<StoredCosts>(
    `select case $3 when 'day' then day::text when 'bank' then bank_id when 'purpose' then purpose else model end as key,
       count(*) as calls,
       coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens, coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
       coalesce(sum(output_tokens), 0)::bigint as output_tokens,
       sum(tokens)::bigint as tokens, sum(unpriced_tokens)::bigint as unpriced_tokens, sum(nano_usd)::bigint as nano_usd,
       coalesce(sum(nano_usd) filter (where purpose in ('consolidate', 'adjudicate', 'rewrite')), 0)::bigint
         as consolidation_nano_usd,
       coalesce(sum(consolidated), 0)::bigint as memories
     from engram.model_calls
     where day between $1::date and $2::date and ($4::text is null or bank_id = $4) and outcome is distinct from 'not_sent'
     group by 1
     order by case when $3 = 'day' then 0 else -sum(nano_usd) end, case when $3 = 'day' then 0 else -sum(tokens) end, 1`,
    [range.from, range.to, range.by, range.bankId ?? null],
  );
  return rows.map((row) => ({
    key: row.key,
    calls: row.calls,
    promptTokens: row.prompt_tokens,
    cachedTokens: row.cached_tokens,
    outputTokens: row.output_tokens,
    tokens: row.tokens,
    unpricedTokens: row.unpriced_tokens,
    nanoUsd: row.nano_usd,
    consolidationNanoUsd: row.consolidation_nano_usd,
    memories: row.memories,
  }));
}

/**
 * Adds memories whose decision stands now to the call that decided them: the one that their attempt paid for, else (the
 * answer was kept, from a dry run) the newest of the bank.
 */
export async function countConsolidated(
  db: Queryable,
  bankId: string,
  decided: { readonly attemptId: string; readonly memories: number },
): Promise<void> {
  // Primary key of attempts, index model_calls_request.
  const { rowCount } = await db.query(
    `update engram.model_calls set consolidated = consolidated + $3 where id = (
       select c.id from engram.attempts a
       join engram.model_calls c on c.bank_id = a.bank_id and c.request_hash = a.request_hash
       where a.bank_id = $1 and a.id = $2 and c.purpose = 'consolidate'
       order by c.started_at desc, c.id desc limit 1)`,
    [bankId, decided.attemptId, decided.memories],
  );
  if (rowCount > 0) return;
  // Index model_calls_bank over a day or two; seldom needed.
  await db.query(
    `update engram.model_calls set consolidated = consolidated + $2 where id = (
       select id from engram.model_calls
       where bank_id = $1 and day >= current_date - 2 and purpose = 'consolidate' and outcome = 'ok'
       order by started_at desc, id desc limit 1)`,
    [bankId, decided.memories],
  );
}

/** What is due over all banks, and what the last memories cost. */
export interface BacklogSample {
  readonly dueMemories: number;
  /** Of the last calls: memories decided (as in {@link Costs}), and what that took. */
  readonly memories: number;
  readonly nanoUsd: number;
  readonly tokens: number;
  readonly unpricedTokens: number;
}

export async function sampleBacklog(db: Queryable): Promise<BacklogSample> {
  // Index memories_pending; model_calls_settled from its end, where embeddings, scores and checks are passed over.
  const { rows } = await db.query<{
    due: number;
    memories: number;
    nano_usd: number;
    tokens: number;
    unpriced_tokens: number;
  }>(
    `select
       (select count(*) from engram.memories
         where state = 'pending' and invalidated_at is null and next_attempt_at <= now()) as due,
       coalesce(sum(consolidated), 0)::bigint as memories,
       coalesce(sum(nano_usd), 0)::bigint as nano_usd, coalesce(sum(tokens), 0)::bigint as tokens,
       coalesce(sum(unpriced_tokens), 0)::bigint as unpriced_tokens
     from (
       select consolidated, nano_usd, tokens, unpriced_tokens from engram.model_calls
       where settled_at is not null and purpose in ('consolidate', 'adjudicate', 'rewrite')
         and outcome is distinct from 'not_sent'
       order by settled_at desc limit 500) as recent`,
  );
  const [row] = rows;
  if (!row) throw new Error('an aggregate answered with no row');
  return {
    dueMemories: row.due,
    memories: row.memories,
    nanoUsd: row.nano_usd,
    tokens: row.tokens,
    unpricedTokens: row.unpriced_tokens,
  };
}
