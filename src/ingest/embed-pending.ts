import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import { embeddingText } from '../models/embedding-text.ts';
import { InvalidEmbeddingError } from '../models/validate-embedding.ts';
import {
  countUnembedded,
  parkUnembeddable,
  selectUnembedded,
  storeEmbeddings,
  type UnembeddedMemory,
} from '../store/memories.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';

/** Texts in one call: enough for the local model to be busy, few enough for a query to overtake soon. */
const batchSize = 64;

export interface EmbedReport {
  readonly embedded: number;
  /** Rows of the bank that still have no vector. With `embedded` 0 another call would find the same. */
  readonly remaining: number;
}

export interface PendingEmbedder {
  /**
   * Gives vectors to at most 64 memories, oldest first, with no connection held while the model works (law L1). A row
   * whose text the model cannot take is parked, so that it does not stand in the way of the others.
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
  const { db, embedder, racepoints, metrics, log } = deps;

  return {
    async embedPending(bankId, { signal }) {
      const memories = await selectUnembedded(db, bankId, batchSize);
      if (memories.length === 0) return { embedded: 0, remaining: 0 };
      const { vectors, refused } = await embedAll(memories, signal);
      await racepoints.reach('embed:before-store', { bankId, memoryIds: memories.map((memory) => memory.id) });
      signal.throwIfAborted();
      for (const { memory, reason } of refused) await parkUnembeddable(db, bankId, memory, reason);
      const embedded = await db.tx({ label: 'store-embeddings' }, (tx) =>
        storeEmbeddings(tx, bankId, embedder.model.id, vectors),
      );
      metrics.embeddings.inc({ purpose: 'memory' }, vectors.length);
      return { embedded, remaining: await countUnembedded(db, bankId) };
    },
  };

  async function embedAll(memories: readonly UnembeddedMemory[], signal: AbortSignal) {
    const refused: { memory: UnembeddedMemory; reason: string }[] = [];
    let rest = [...memories];
    while (rest.length > 0) {
      try {
        const vectors = await embedder.embed(rest.map(embeddingText), { purpose: 'memory', signal });
        return { vectors: rest.flatMap((memory, index) => withVector(memory, vectors[index])), refused };
      } catch (thrown) {
        // Without an index the answer as a whole is bad, which is the model's fault and no text's.
        if (!(thrown instanceof InvalidEmbeddingError) || thrown.index === null) throw thrown;
        const [memory] = rest.slice(thrown.index);
        if (!memory) throw thrown;
        log.warn({ memoryId: memory.id, reason: thrown.reason }, 'a memory cannot be embedded; it is parked');
        refused.push({ memory, reason: `unembeddable: ${thrown.reason}` });
        rest = rest.filter((other) => other !== memory);
      }
    }
    return { vectors: [], refused };
  }
}

function withVector(memory: UnembeddedMemory, vector: Float32Array | undefined) {
  return vector ? [{ id: memory.id, version: memory.version, vector }] : [];
}
