import type { Queryable } from '../db/database.ts';
import type { Amounts, DayLimits } from './budget-ledger.ts';
import { type BreakerKey, type BreakerRow, breakerOf, type StoredBreaker } from './model-breakers.ts';

/** A call that is about to be made, with the most that it can cost. */
export interface NewCall extends BreakerKey {
  readonly id: string;
  /** Local day of the daemon, `YYYY-MM-DD`. */
  readonly day: string;
  readonly instanceId: string;
  readonly purpose: string;
  readonly requestHash: Buffer;
  readonly memories: number;
  readonly promptBytes: number;
  readonly most: Amounts;
  /** The claim under which the call may pass an open breaker. */
  readonly probeId: string | null;
}

export type Reserved =
  | { readonly kind: 'reserved'; readonly ledger: Amounts }
  /** The breaker is open, and this call is not its probe. */
  | { readonly kind: 'out_of_order'; readonly breaker: BreakerRow }
  /** It would go beyond one of the limits. */
  | { readonly kind: 'over_budget' };

/**
 * Reserves the most that a call can cost, or does nothing (law L19). One statement, so that any number of daemons stay
 * within the limits together: the ledger's row is written only where it holds enough, by what it holds at that instant.
 */
export async function reserveCall(
  db: Queryable,
  bankId: string | null,
  call: NewCall,
  limits: DayLimits,
): Promise<Reserved> {
  // Primary keys of model_breakers and budget_ledger. An amount of 0 passes a limit that others have used up: a free model
  // needs no dollars, and one with a price is not held to the limit of those without.
  const { rows } = await db.query<
    Partial<StoredBreaker> & { nano_usd: number | null; tokens: number; unpriced_tokens: number }
  >(
    `with breaker as (
       select * from engram.model_breakers
       where endpoint = $6 and model = $7 and ($14::uuid is null or probe_id is distinct from $14)
     ), ledger as (
       insert into engram.budget_ledger as l (day, nano_usd, tokens, unpriced_tokens, calls)
       select $2, $11, $12, $13, 1
       where not exists (select from breaker) and $11::bigint <= $15::bigint
         and ($16::bigint is null or $12::bigint <= $16) and $13::bigint <= $17::bigint
       on conflict (day) do update set nano_usd = l.nano_usd + excluded.nano_usd, tokens = l.tokens + excluded.tokens,
         unpriced_tokens = l.unpriced_tokens + excluded.unpriced_tokens, calls = l.calls + 1
       where (excluded.nano_usd = 0 or l.nano_usd + excluded.nano_usd <= $15)
         and ($16 is null or excluded.tokens = 0 or l.tokens + excluded.tokens <= $16)
         and (excluded.unpriced_tokens = 0 or l.unpriced_tokens + excluded.unpriced_tokens <= $17)
       returning nano_usd, tokens, unpriced_tokens
     ), call as (
       insert into engram.model_calls (id, day, bank_id, instance_id, purpose, endpoint, model, request_hash, memories,
         prompt_bytes, nano_usd, tokens, unpriced_tokens)
       select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 from ledger
     )
     select ledger.*, breaker.* from (select) as one left join ledger on true left join breaker on true`,
    [
      call.id,
      call.day,
      bankId,
      call.instanceId,
      call.purpose,
      call.endpoint,
      call.model,
      call.requestHash,
      call.memories,
      call.promptBytes,
      call.most.nanoUsd,
      call.most.tokens,
      call.most.unpricedTokens,
      call.probeId,
      limits.nanoUsd,
      limits.tokens,
      limits.unpricedTokens,
    ],
  );
  const [row] = rows;
  if (!row) throw new Error('a select without a condition answered with no row');
  if (row.nano_usd !== null) {
    return {
      kind: 'reserved',
      ledger: { nanoUsd: row.nano_usd, tokens: row.tokens, unpricedTokens: row.unpriced_tokens },
    };
  }
  return isBreaker(row) ? { kind: 'out_of_order', breaker: breakerOf(row) } : { kind: 'over_budget' };
}

function isBreaker(row: Partial<StoredBreaker>): row is StoredBreaker {
  return row.endpoint !== null && row.endpoint !== undefined;
}

/** How a call ended. */
export interface Settlement {
  readonly id: string;
  /** `ok`, the class of the error, `aborted`, `failed` (an error of ours), or `not_sent`. */
  readonly outcome: string;
  readonly latencyMs: number;
  /** What it cost; null: unknown, so what was reserved. */
  readonly spent: Amounts | null;
  readonly usage: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly outputTokens: number;
  } | null;
  /** What to keep (law L19); JSON text that jsonb takes. Null: nothing. */
  readonly answerJson: string | null;
  readonly requestHash: Buffer;
  readonly subjectIds: readonly string[];
}

/**
 * Settles a call, once: the ledger of the day that it was reserved from gets back what was not used, and the answer is
 * kept in the same statement, so that it is either paid for and kept, or still open. A call that comes back after midnight
 * settles on the day before. Returns the ledger; null: it had been settled.
 *
 * Nothing is kept of a bank that is gone or about to be, nor of memories and observations one of which was erased, or is
 * just being changed, while the model was thinking (see `mayKeepSayingOf`): a row that somebody writes to is skipped and
 * not waited for, since the ledger's row is held meanwhile and every other call would wait as well.
 */
export async function settleCall(
  db: Queryable,
  bankId: string | null,
  settlement: Settlement,
): Promise<Amounts | null> {
  const { spent, usage } = settlement;
  // Primary keys throughout; erasures of the bank, which are few.
  const { rows } = await db.query<{ nano_usd: number; tokens: number; unpriced_tokens: number }>(
    `with held as materialized (
       select id, day, nano_usd, tokens, unpriced_tokens from engram.model_calls
       where id = $1 and bank_id is not distinct from $10 and settled_at is null for update
     ), call as (
       update engram.model_calls c set outcome = $2, latency_ms = $3, settled_at = now(),
         nano_usd = coalesce($4, c.nano_usd), tokens = coalesce($5, c.tokens),
         unpriced_tokens = coalesce($6, c.unpriced_tokens),
         prompt_tokens = $7, cached_tokens = $8, output_tokens = $9
       from held where c.id = held.id
     ), ledger as (
       update engram.budget_ledger l set nano_usd = l.nano_usd + coalesce($4 - held.nano_usd, 0),
         tokens = l.tokens + coalesce($5 - held.tokens, 0),
         unpriced_tokens = l.unpriced_tokens + coalesce($6 - held.unpriced_tokens, 0)
       from held where l.day = held.day
       returning l.nano_usd, l.tokens, l.unpriced_tokens
     ), bank as (
       select id from engram.banks where id = $10 and $11::jsonb is not null for key share skip locked
     ), memory as (
       select id from engram.memories
       where $11::jsonb is not null and bank_id = $10 and id = any($13::uuid[]) for key share skip locked
     ), observation as (
       select id, version from engram.observations
       where $11::jsonb is not null and bank_id = $10 and id = any($13::uuid[]) for share skip locked
     ), answer as (
       insert into engram.model_answers (bank_id, request_hash, answer, subject_ids)
       select bank.id, $12, $11, $13 from bank
       where (select count(*) from memory) + (
           select count(*) from observation o
           join engram.observations seen on seen.bank_id = $10 and seen.id = o.id and seen.version = o.version
         ) = cardinality($13::uuid[])
         and not exists (select from engram.erasures e where e.bank_id = $10 and e.observation_ids && $13::uuid[]
           and e.erased_at > clock_timestamp() - interval '2 hours')
       on conflict (bank_id, request_hash) do update
         set answer = excluded.answer, subject_ids = excluded.subject_ids, created_at = now()
     )
     select * from ledger`,
    [
      settlement.id,
      settlement.outcome,
      settlement.latencyMs,
      spent?.nanoUsd ?? null,
      spent?.tokens ?? null,
      spent?.unpricedTokens ?? null,
      usage?.promptTokens ?? null,
      usage?.cachedTokens ?? null,
      usage?.outputTokens ?? null,
      bankId,
      settlement.answerJson,
      settlement.requestHash,
      [...new Set(settlement.subjectIds)],
    ],
  );
  const [row] = rows;
  return row ? { nanoUsd: row.nano_usd, tokens: row.tokens, unpricedTokens: row.unpriced_tokens } : null;
}

/** What the last calls of a model tell about how many tokens it makes of a byte; null before the first. */
export async function readTokensPerByte(db: Queryable, key: BreakerKey): Promise<number | null> {
  // Index model_calls_recent.
  const { rows } = await db.query<{ ratio: number | null }>(
    `select sum(prompt_tokens)::float8 / nullif(sum(prompt_bytes), 0) as ratio from (
       select prompt_tokens, prompt_bytes from engram.model_calls
       where endpoint = $1 and model = $2 and outcome = 'ok' and prompt_tokens > 0 and prompt_tokens <= prompt_bytes
       order by settled_at desc limit 50) as recent`,
    [key.endpoint, key.model],
  );
  return rows[0]?.ratio ?? null;
}
