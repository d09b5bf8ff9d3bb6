import { v7 } from 'uuid';
import type { Database } from '../../src/db/database.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import { createMemoryWriter, type MemoryWriterDeps } from '../../src/ingest/write-memories.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { createTestDatabase } from '../support/test-database.ts';

const instanceId = '01890000-0000-7000-8000-000000000001';

/** A writer and a background embedder on a database of their own, with the hints they sent. */
export async function createIngestFixture() {
  const test = await createTestDatabase();
  const fake = createFakeEmbedder();
  const embedder = guardedEmbedder(fake, assertNoLease);
  await pinEmbeddingModel(test.db, embedder.model);
  const hints: string[] = [];
  const reached: RacepointName[] = [];
  const held = new Map<RacepointName, () => Promise<void>>();
  const racepoints: Racepoints = {
    async reach(name) {
      reached.push(name);
      await held.get(name)?.();
    },
  };
  const deps: MemoryWriterDeps = {
    db: test.db,
    instanceId,
    newId: () => v7(),
    hint: async (bankId) => void hints.push(bankId),
    racepoints,
    metrics: test.metrics,
    log: silentLog,
  };
  return {
    ...test,
    fake,
    hints,
    reached,
    /** Runs `work` when the racepoint is reached. */
    at: (name: RacepointName, work: () => Promise<void>) => held.set(name, work),
    deps,
    writer: createMemoryWriter(deps),
    embedder,
    pending: createPendingEmbedder({ db: test.db, embedder, racepoints, metrics: test.metrics, log: silentLog }),
  };
}

export type IngestFixture = Awaited<ReturnType<typeof createIngestFixture>>;

export async function countRows(db: Database, bankId: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>('select count(*) as n from engram.memories where bank_id = $1', [
    bankId,
  ]);
  return rows[0]?.n ?? 0;
}
