import type { Database } from '../db/database.ts';
import { currentEmbedder, type Embedder } from '../models/embedder.ts';
import { holdEmbeddingModel } from '../store/embedding-models.ts';
import {
  countUnembedded,
  parkUnembeddable,
  selectUnembedded,
  storeEmbeddings,
  type UnembeddedMemory,
} from '../store/memories.ts';
import { storeNextEmbeddings } from '../store/next-embeddings.ts';
import { selectStale, storeFreshEmbeddings } from '../store/stale-embeddings.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { embedEach } from './embed-each.ts';

/** Texts in one call: enough for the local model to be busy, few enough for a query to overtake soon. */
export const embedBatchSize = 64;

export interface EmbedReport {
  readonly embedded: number;
  /** Rows of the bank that still wait for a vector. With `embedded` 0 another call would find the same. */
  readonly remaining: number;
}

export interface PendingEmbedder {
  /**
   * Gives vectors to at most 64 memories without one, oldest first; where there are none, to rows whose vector is of a
   * model that the database has left. No connection is held while the model works (law L1). A memory whose text the
   * model cannot take is parked, so that it does not stand in the way of the others.
   *
   * @throws what the embedder throws; nothing is stored then and the rows stay as they were.
   */
  embedPending(bankId: string, options: { readonly signal: AbortSignal }): Promise<EmbedReport>;
}

export interface PendingEmbedderDeps {
  readonly db: Database;
  readonly embedder: Embedder;
  readonly racepoints: Racepoints;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createPendingEmbedder(deps: PendingEmbedderDeps): PendingEmbedder {
  const { db, racepoints, metrics, log } = deps;

  return {
    async embedPending(bankId, { signal }) {
      const embedder = await currentEmbedder(deps.embedder);
      const memories = await selectUnembedded(db, bankId, embedBatchSize);
      const embedded =
        memories.length > 0
          ? await embedNew(embedder, bankId, memories, signal)
          : await embedStale(embedder, bankId, signal);
      return { embedded, remaining: await countWaiting(bankId) };
    },
  };

  async function embedNew(
    embedder: Embedder,
    bankId: string,
    memories: readonly UnembeddedMemory[],
    signal: AbortSignal,
  ): Promise<number> {
    const { vectors, refused } = await embedEach(embedder, memories, { purpose: 'memory', signal, bankId });
    await racepoints.reach('embed:before-store', { bankId, memoryIds: memories.map((memory) => memory.id) });
    signal.throwIfAborted();
    for (const { row, reason } of refused) {
      log.warn({ memoryId: row.id, reason }, 'a memory cannot be embedded; it is parked');
      await parkUnembeddable(db, bankId, row, `unembeddable: ${reason}`);
    }
    const model = embedder.model.id;
    const embedded = await db.tx({ label: 'store-embeddings' }, async (tx) => {
      // With the model changed meanwhile these vectors are of no use; the next call makes others.
      if ((await holdEmbeddingModel(tx, model)) !== 'holds') return 0;
      return storeEmbeddings(
        tx,
        bankId,
        model,
        vectors.map(({ row, vector }) => ({ id: row.id, version: row.version, vector })),
      );
    });
    metrics.embeddings.inc({ purpose: 'memory' }, vectors.length);
    return embedded;
  }

  /** Memories first; the rest of their batch is for the next call. */
  async function embedStale(embedder: Embedder, bankId: string, signal: AbortSignal): Promise<number> {
    for (const target of ['memories', 'observations'] as const) {
      const rows = await selectStale(db, bankId, target, embedBatchSize);
      if (rows.length === 0) continue;
      const model = embedder.model.id;
      const purpose = target === 'memories' ? 'memory' : 'observation';
      const { vectors, refused } = await embedEach(embedder, rows, { purpose, signal, bankId });
      await racepoints.reach('embed:before-store', { bankId, memoryIds: rows.map((row) => row.id) });
      signal.throwIfAborted();
      const stored = await db.tx({ label: 'store-fresh-embeddings' }, async (tx) => {
        if ((await holdEmbeddingModel(tx, model)) !== 'holds') return 0;
        return storeFreshEmbeddings(tx, bankId, {
          target,
          model,
          rows: vectors.map(({ row, vector }) => ({ id: row.id, hash: row.hash, vector })),
        });
      });
      // They keep the vector they have, which nothing is compared with, and are found by full text.
      for (const { row, reason } of refused) log.warn({ target, id: row.id, reason }, 'a text cannot be embedded');
      const marks = refused.map(({ row }) => ({ id: row.id, hash: row.hash, vector: null }));
      await storeNextEmbeddings(db, bankId, { target, model, rows: marks });
      metrics.embeddings.inc({ purpose }, vectors.length);
      return stored + marks.length;
    }
    return 0;
  }

  async function countWaiting(bankId: string): Promise<number> {
    const unembedded = await countUnembedded(db, bankId);
    if (unembedded > 0) return unembedded;
    // Whether there are any is all that anybody asks.
    const memories = await selectStale(db, bankId, 'memories', 1);
    return memories.length > 0 ? 1 : (await selectStale(db, bankId, 'observations', 1)).length;
  }
}
