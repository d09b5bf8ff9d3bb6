import { type AnsweredAttempt, answeredAttempts } from '../store/attempts.ts';
import { type DueMemory, reloadPending } from '../store/due-memories.ts';
import { loadRelated, type RelatedObservation } from '../store/related-observations.ts';
import { decisionKey } from './decision-key.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { sourcesEach } from './recall-related.ts';

/** A batch whose answer is paid for: the same memories, to be shown beside the same observations. */
export interface AnsweredBatch extends AnsweredAttempt {
  readonly memories: readonly DueMemory[];
}

/** Batches that ended between answer and apply, as long as nothing of what they were shown has moved and the same still decides. */
export async function answeredBatches(deps: ConsolidationDeps, bankId: string): Promise<AnsweredBatch[]> {
  const attempts = await answeredAttempts(deps.db, bankId, decisionKey(deps.decider));
  const ids = attempts.flatMap(({ shown }) => shown.memories.map((memory) => memory.id));
  const pending = new Map(
    (ids.length === 0 ? [] : await reloadPending(deps.db, bankId, ids)).map((memory) => [memory.id, memory]),
  );
  return attempts.flatMap((attempt): AnsweredBatch[] => {
    const memories = attempt.shown.memories.flatMap(({ id, version }) => {
      const memory = pending.get(id);
      return memory?.version === version ? [memory] : [];
    });
    return memories.length > 0 && memories.length === attempt.shown.memories.length ? [{ ...attempt, memories }] : [];
  });
}

/** What was shown, in its order; null where any of it has moved meanwhile. */
export async function observationsShown(
  deps: ConsolidationDeps,
  bankId: string,
  batch: { readonly tags: readonly string[]; readonly shown: AnsweredAttempt['shown'] },
): Promise<RelatedObservation[] | null> {
  const { observations } = batch.shown;
  const loaded = new Map(
    (
      await loadRelated(deps.db, {
        bankId,
        tags: batch.tags,
        ids: observations.map((row) => row.id),
        sourcesEach: deps.decider.readsSources ? sourcesEach : 0,
      })
    ).map((row) => [row.id, row]),
  );
  const same = observations.flatMap(({ id, version }) => {
    const row = loaded.get(id);
    return row?.version === version ? [row] : [];
  });
  return same.length === observations.length ? same : null;
}
