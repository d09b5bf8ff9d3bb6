import { v7 as uuid } from 'uuid';
import { assertNoLease } from '../../src/db/lease.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import { createReEmbedder } from '../../src/ingest/re-embed.ts';
import { type Embedder, guardedEmbedder } from '../../src/models/embedder.ts';
import { createPinnedEmbedder } from '../../src/models/embeddings/pinned-embedder.ts';
import { createRecall } from '../../src/recall/recall.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { beginSwitch } from '../../src/store/embedding-switch.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { createRaceControl } from '../support/race-control.ts';
import { createTestDatabase } from '../support/test-database.ts';

export const { signal } = new AbortController();

/** A database with vectors of one model, another model to change to, and as many processes as a test makes. */
export async function createSwitchFixture() {
  const test = await createTestDatabase();
  const { db } = test;
  const old = createFakeEmbedder({ model: { id: 'local/old', dimensions: 512, provider: 'local' } });
  const next = createFakeEmbedder({ model: { id: 'openai/next', dimensions: 64, provider: 'openai' } });
  const byId = new Map<string, Embedder>([old, next].map((fake) => [fake.model.id, fake]));
  const open = ({ id }: { readonly id: string }) => {
    const found = byId.get(id);
    if (!found) throw new Error(`no embedder ${id}`);
    return found;
  };
  await pinEmbeddingModel(db, old.model);
  await db.query("insert into engram.banks (id) values ('a'), ('b')");
  const indexes: ReturnType<typeof createExactIndex>[] = [];

  /** A process of its own: caches, instance, race points. */
  async function daemon() {
    const instanceId = uuid();
    await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0' });
    const races = createRaceControl();
    const vectors = createExactIndex({ db, log: silentLog });
    indexes.push(vectors);
    const base = { db, log: silentLog, clock: systemClock, metrics: test.metrics, racepoints: races };
    /** Runs where the index of the new model is made: when nothing is missing, right before the change. */
    const hooks: { beforeChange?: () => Promise<unknown>; dispose?: (id: string) => Promise<unknown> } = {};
    const prepare = async (model: { readonly id: string; readonly dimensions: number }) => {
      await vectors.prepare(model);
      await hooks.beforeChange?.();
    };
    const embedder = createPinnedEmbedder({ ...base, assertNoLease, open, prepare }, open(old.model), true);
    const { recall } = createRecall({ ...base, vectors, embedder });
    const reEmbedder = createReEmbedder({
      ...base,
      instanceId,
      prepare,
      dispose: async ({ id }) => void (await hooks.dispose?.(id)),
      open: (model) => guardedEmbedder(open(model), assertNoLease),
    });
    return {
      instanceId,
      hooks,
      races,
      vectors,
      embedder,
      reEmbedder,
      embedPending: createPendingEmbedder({ ...base, embedder }).embedPending,
      recall: (bankId: string, query: string) => recall({ bankId, query }),
      /** Steps until nothing is left to do; the kinds of the steps. */
      async run() {
        const kinds: string[] = [];
        for (;;) {
          const step = await reEmbedder.step(signal);
          kinds.push(step.kind);
          if (step.kind !== 'embedded') return kinds;
        }
      },
    };
  }

  async function remember(bankId: string, ...texts: string[]): Promise<string[]> {
    const ids = texts.map(() => uuid());
    await db.query('insert into engram.memories (bank_id, id, text) select $1, * from unnest($2::uuid[], $3::text[])', [
      bankId,
      ids,
      texts,
    ]);
    return ids;
  }

  async function observe(bankId: string, text: string, retired = false): Promise<string> {
    const id = uuid();
    await db.query(
      `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, retired_at)
       values ($1, $2, $3, '{}', array_fill(0.04::real, array[512]), 'local/old', 1, case when $4 then now() end)`,
      [bankId, id, text, retired],
    );
    return id;
  }

  return {
    ...test,
    old,
    next,
    daemon,
    remember,
    observe,
    begin: () => beginSwitch(db, next.model),
    /** Model and length of every vector, by text. */
    async vectors() {
      const { rows } = await db.query<{ text: string; model: string | null; length: number | null }>(
        `select text, embedding_model as model, cardinality(embedding) as length from engram.memories
         union all select text, embedding_model, cardinality(embedding) from engram.observations order by text`,
      );
      return Object.fromEntries(
        rows.map((row) => [row.text, row.model === null ? null : `${row.model} ${row.length}`]),
      );
    },
    async close() {
      for (const index of indexes) await index.release();
      await test.drop();
    },
  };
}

export type SwitchFixture = Awaited<ReturnType<typeof createSwitchFixture>>;
