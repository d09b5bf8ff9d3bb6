import type { Queryable } from '../db/database.ts';

export type IdempotencyClaim =
  /** The key is this transaction's now; whoever else comes with it waits for the commit. */
  | { readonly outcome: 'claimed' }
  /** The same request was answered before. */
  | { readonly outcome: 'answered'; readonly response: unknown }
  /** The key belongs to another request. */
  | { readonly outcome: 'reused' };

/** A bank's keys are its own: scope is the bank, or empty for what concerns none. */
export interface IdempotentRequest {
  readonly scope: string;
  readonly key: string;
  /** Of everything that makes this request this request: route and body. */
  readonly requestHash: Buffer;
}

/**
 * Takes the key inside the transaction that will do the work, so that the same key twice at once is one write. Only
 * requests of the same key ever wait here, and none of them holds a row yet that another waits for.
 */
export async function claimIdempotencyKey(tx: Queryable, request: IdempotentRequest): Promise<IdempotencyClaim> {
  // Primary key (scope, key). The other side may roll back, or a bank's deletion may clear the key, between the two.
  for (;;) {
    const claimed = await tx.query(
      `insert into engram.idempotency_keys (scope, key, request_hash, status, response)
       values ($1, $2, $3, 0, 'null') on conflict do nothing`,
      [request.scope, request.key, request.requestHash],
    );
    if (claimed.rowCount === 1) return { outcome: 'claimed' };
    const { rows } = await tx.query<{ same: boolean; response: unknown }>(
      'select request_hash = $3 as same, response from engram.idempotency_keys where scope = $1 and key = $2',
      [request.scope, request.key, request.requestHash],
    );
    const [row] = rows;
    if (row) return row.same ? { outcome: 'answered', response: row.response } : { outcome: 'reused' };
  }
}

/** Keeps the answer to a claimed key, in the transaction that claimed it. */
export async function storeAnswer(
  tx: Queryable,
  request: IdempotentRequest,
  answer: { readonly status: number; readonly response: unknown },
): Promise<void> {
  // Primary key (scope, key).
  await tx.query('update engram.idempotency_keys set status = $3, response = $4 where scope = $1 and key = $2', [
    request.scope,
    request.key,
    answer.status,
    JSON.stringify(answer.response),
  ]);
}
