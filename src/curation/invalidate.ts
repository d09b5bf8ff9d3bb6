import type { Database } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { dependentsOf, invalidateMemory } from '../store/invalidation.ts';
import { markWriter } from '../store/memories.ts';

export interface InvalidateDeps {
  readonly db: Database;
  readonly instanceId: string;
  /** Told after the commit: what rests on the memory is due. */
  readonly hint: (bankId: string) => Promise<void>;
}

/** `rewrite`: said again from what is left. `retire`: nothing is left. `history`: no longer current; keeps its words. */
export type DependentFate = 'rewrite' | 'retire' | 'history';

export interface InvalidateReport {
  readonly memoryId: string;
  readonly invalidatedAt: Date;
  /** It was invalid before; nothing was changed. */
  readonly already: boolean;
  readonly observations: readonly { readonly id: string; readonly text: string; readonly fate: DependentFate }[];
}

/**
 * Marks a memory as not to be believed. It stays where it is, is no longer recalled and no longer work, and the
 * observations that rest on it are due to be written again from what is left, or to be retired.
 *
 * @returns null where there is no such memory
 */
export async function invalidate(
  deps: InvalidateDeps,
  request: { readonly bankId: string; readonly memoryId: string },
): Promise<InvalidateReport | null> {
  const { bankId, memoryId } = request;
  const report = await deps.db.tx({ label: 'invalidate' }, async (tx) => {
    await markWriter(tx, deps.instanceId);
    if (!(await lockBank(tx, bankId, 'shared'))) return null;
    const done = await invalidateMemory(tx, bankId, memoryId);
    if (!done) return null;
    const dependents = await dependentsOf(tx, bankId, memoryId);
    return {
      memoryId,
      ...done,
      observations: dependents.map(({ id, text, isLive, otherSources }) => {
        const fate: DependentFate = !isLive ? 'history' : otherSources > 0 ? 'rewrite' : 'retire';
        return { id, text, fate };
      }),
    };
  });
  if (report) await deps.hint(bankId);
  return report;
}
