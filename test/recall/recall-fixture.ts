import { v7 as uuid } from 'uuid';
import { assertNoLease } from '../../src/db/lease.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import type { MemoryInput } from '../../src/ingest/memory-schema.ts';
import { createMemoryWriter } from '../../src/ingest/write-memories.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { createRecall, type RecallItem, type RecallRequest } from '../../src/recall/recall.ts';
import { insertConflicts } from '../../src/store/apply-writes.ts';
import type { ObservationImage } from '../../src/store/change-ops.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertObservations, upsertLinks } from '../../src/store/observations.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder, wordVector } from '../support/fake-embedder.ts';
import { createTestDatabase } from '../support/test-database.ts';

/** A bank `b` that tests fill by hand: memories through ingest, observations as an apply would have left them. */
export async function createRecallFixture() {
  const test = await createTestDatabase();
  const { db, metrics } = test;
  const fake = createFakeEmbedder();
  const embedder = guardedEmbedder(fake, assertNoLease);
  await pinEmbeddingModel(db, embedder.model);
  const vectors = createExactIndex({ db, log: silentLog });
  const base = { db, racepoints: inertRacepoints, metrics, log: silentLog };
  const writer = createMemoryWriter({ ...base, instanceId: uuid(), newId: () => uuid(), hint: async () => undefined });
  const { embedPending } = createPendingEmbedder({ ...base, embedder });
  const { recall } = createRecall({ db, vectors, embedder, clock: systemClock, metrics, log: silentLog });
  const bankId = 'b';

  return {
    ...test,
    fake,
    embedder,
    vectors,
    /** Ids in the order of the texts. */
    async remember(...inputs: (string | MemoryInput)[]): Promise<string[]> {
      const memories = inputs.map((input) => (typeof input === 'string' ? { text: input } : input));
      const written = await writer.writeMemories(bankId, memories);
      while ((await embedPending(bankId, { signal: new AbortController().signal })).remaining > 0);
      return written.memories.map((memory) => memory.id);
    },
    async observe(
      text: string,
      sources: readonly string[],
      image: Partial<ObservationImage> & { tags?: readonly string[] } = {},
    ): Promise<string> {
      const { tags = [], ...rest } = image;
      const id = uuid();
      const whole: ObservationImage = {
        id,
        text,
        version: 1,
        validFrom: null,
        validTo: null,
        occurredStart: null,
        occurredEnd: null,
        supersededBy: null,
        canonicalId: null,
        retiredAt: null,
        needsReplanAt: null,
        ...rest,
      };
      await db.tx({ label: 'test' }, async (tx) => {
        await insertObservations(tx, {
          bankId,
          tags,
          scopeEpoch: 1,
          embeddingModel: embedder.model.id,
          observations: [{ image: whole, embedding: wordVector(text) }],
        });
        await upsertLinks(
          tx,
          bankId,
          sources.map((memoryId) => ({ observationId: id, memoryId, memoryVersion: 1 })),
        );
        await tx.query(
          `update engram.observations set canonical_id = $2, retired_at = $3, needs_replan_at = $4 where id = $1`,
          [id, whole.canonicalId, whole.retiredAt, whole.needsReplanAt],
        );
      });
      return id;
    },
    conflict: (left: string, right: string) =>
      insertConflicts(db, bankId, [{ id: uuid(), left, right, reason: 'cannot both hold' }]),
    recall: (query: string, request: Partial<RecallRequest> = {}) => recall({ bankId, query, ...request }),
    texts: async (query: string, request: Partial<RecallRequest> = {}) =>
      (await recall({ bankId, query, ...request })).items.map(label),
    async close() {
      await vectors.release();
      await test.drop();
    },
  };
}

export type RecallFixture = Awaited<ReturnType<typeof createRecallFixture>>;

/** `m: text` for a memory, `o: text` for an observation. */
export function label(item: RecallItem): string {
  return item.type === 'memory' ? `m: ${item.memory.text}` : `o: ${item.observation.text}`;
}
