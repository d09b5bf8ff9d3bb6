import { decisionKey } from '../consolidation/decision-key.ts';
import type { Database, Queryable } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { markWriter } from '../store/memories.ts';
import type { MemoryChunk } from '../store/memory-chunk.ts';
import { requeueDecidedOtherwise, requeueHeld } from '../store/requeue.ts';

export interface AgainDeps {
  readonly db: Database;
  readonly instanceId: string;
  /** What decides now. */
  readonly decider: { readonly name: string };
}

/**
 * Makes memories pending again that something else decided: another decider, prompt, model or set of judges. Over a bank
 * that was decided alike there is nothing to do.
 *
 * @returns how many
 */
export function consolidateAgain(deps: AgainDeps, bankId: string): Promise<number> {
  const decidedBy = decisionKey(deps.decider);
  return inChunks(deps, bankId, (tx, after) => requeueDecidedOtherwise(tx, bankId, { decidedBy, after }));
}

/** Makes memories pending again that an undo or a rejection had put aside. Returns how many. */
export function releaseHeld(deps: AgainDeps, bankId: string): Promise<number> {
  return inChunks(deps, bankId, (tx, after) => requeueHeld(tx, bankId, after));
}

/** Each chunk is a transaction of its own: one that is cut short has made a start. */
async function inChunks(
  deps: AgainDeps,
  bankId: string,
  requeue: (tx: Queryable, after: string | null) => Promise<MemoryChunk>,
): Promise<number> {
  let memories = 0;
  let after: string | null = null;
  do {
    const chunk: MemoryChunk = await deps.db.tx({ label: 'again' }, async (tx) => {
      await markWriter(tx, deps.instanceId);
      if (!(await lockBank(tx, bankId, 'shared'))) return { memories: 0, after: null };
      return requeue(tx, after);
    });
    memories += chunk.memories;
    after = chunk.after;
  } while (after !== null);
  return memories;
}
