import type { Queryable } from '../db/database.ts';

/** What calls for these requests have cost since, in billionths of a dollar; reserved where they are not settled yet. */
export async function costOfRequests(
  db: Queryable,
  bankId: string,
  options: { readonly requestHashes: readonly Buffer[]; readonly runningSeconds: number },
): Promise<{ calls: number; nanoUsd: number }> {
  if (options.requestHashes.length === 0) return { calls: 0, nanoUsd: 0 };
  // Index model_calls_bank (bank_id, day): the days since are one or two.
  const { rows } = await db.query<{ calls: number; nano_usd: number }>(
    `select count(*) as calls, coalesce(sum(nano_usd), 0)::bigint as nano_usd from engram.model_calls
     where bank_id = $1 and day >= current_date - 2 and request_hash = any($2::bytea[])
       and started_at >= now() - make_interval(secs => $3)`,
    [bankId, options.requestHashes, options.runningSeconds],
  );
  return { calls: rows[0]?.calls ?? 0, nanoUsd: rows[0]?.nano_usd ?? 0 };
}
