import type { Tx } from '../db/database.ts';
import { insertConflicts, settleMemories } from '../store/apply-writes.ts';
import { deleteLinks, insertObservations, updateObservations, upsertLinks } from '../store/observations.ts';
import { advanceScope } from '../store/scopes.ts';
import { carryOut, type Writes } from './carry-out.ts';
import type { Judged } from './judge-groups.ts';
import type { OpGroup } from './plan.ts';

export interface WriteOptions {
  readonly bankId: string;
  readonly tags: readonly string[];
  readonly embeddingModel: string;
  /** What the epoch was decided on, where no text of the scope came into sight and it was not locked. */
  readonly scopeEpoch: number;
  readonly changeSetId: string;
  readonly decidedBy: string;
  readonly now: Date;
  readonly newId: () => string;
}

/**
 * Writes what the groups come to: rows, vectors, links, conflicts, states, the scope's epoch. History and timeline are
 * returned for the caller to write. The groups hold, and their locks are those of `judged`.
 */
export async function writeGroups(
  tx: Tx,
  options: WriteOptions,
  judged: Judged,
  groups: readonly OpGroup[],
): Promise<Writes> {
  const { bankId, tags, embeddingModel } = options;
  const writes = carryOut({ ...options, groups, locked: judged.locked, links: judged.links });
  if (writes.changeOps.length === 0) return writes;
  const scopeEpoch = (judged.epoch ?? options.scopeEpoch) + 1;
  await insertObservations(tx, { bankId, tags, scopeEpoch, embeddingModel, observations: writes.inserted });
  await updateObservations(tx, { bankId, scopeEpoch, embeddingModel, observations: writes.updated });
  await deleteLinks(tx, bankId, writes.droppedLinks);
  await upsertLinks(tx, bankId, writes.links);
  await insertConflicts(tx, bankId, writes.conflicts);
  await settleMemories(tx, bankId, writes.memories, options.decidedBy);
  if (writes.inserted.length > 0 || writes.updated.some((row) => row.embedding !== null || row.surfaced)) {
    await advanceScope(tx, bankId, tags, scopeEpoch);
  }
  return writes;
}
