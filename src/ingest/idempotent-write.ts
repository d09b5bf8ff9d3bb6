import { createHash } from 'node:crypto';
import type { Queryable } from '../db/database.ts';
import { canonicalJson } from '../models/canonical-json.ts';
import { claimIdempotencyKey, type IdempotentRequest, storeAnswer } from '../store/idempotency.ts';
import { IdempotencyKeyReusedError } from './ingest-errors.ts';

/**
 * `body` is the request as it was understood: the same fields in another order are the same request. Its depth is
 * bounded by the schema that it has passed.
 */
export function idempotentRequest(scope: string, key: string, route: string, body: unknown): IdempotentRequest {
  const requestHash = createHash('sha256')
    .update(`${route}\n${canonicalJson(body)}`)
    .digest();
  return { scope, key, requestHash };
}

/**
 * Runs `work` once for its key and afterwards answers from what was kept, in the transaction of the work. Without a
 * request it just runs.
 *
 * @throws IdempotencyKeyReusedError
 */
export async function idempotently<T>(
  tx: Queryable,
  request: IdempotentRequest | undefined,
  status: number,
  work: () => Promise<T>,
): Promise<{ readonly answer: T; readonly replayed: boolean }> {
  if (!request) return { answer: await work(), replayed: false };
  const claim = await claimIdempotencyKey(tx, request);
  switch (claim.outcome) {
    case 'answered':
      // What this function stored below, for a request of the same hash and so of the same route.
      return { answer: claim.response as T, replayed: true };
    case 'reused':
      throw new IdempotencyKeyReusedError();
    case 'claimed': {
      const answer = await work();
      await storeAnswer(tx, request, { status, response: answer });
      return { answer, replayed: false };
    }
  }
}
