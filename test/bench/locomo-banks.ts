import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { cosine } from '../../src/consolidation/cosine.ts';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import type { MemoryInput } from '../../src/ingest/memory-schema.ts';
import { createMemoryWriter } from '../../src/ingest/write-memories.ts';
import { type Embedder, guardedEmbedder } from '../../src/models/embedder.ts';
import { embeddingText } from '../../src/models/embedding-text.ts';
import { createLocalEmbedder } from '../../src/models/local/local-embedder.ts';
import { createRecall, type RecallItem, type RecallRequest } from '../../src/recall/recall.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { insertObservations, upsertLinks } from '../../src/store/observations.ts';
import { chooseVectorIndex } from '../../src/store/vectors/choose-vector-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';

/** Folds memories of equal text, or those whose vectors are at least this similar to one that stands already. */
export interface Baseline {
  readonly name: string;
  readonly similarity: number | null;
}

/** Of an answer without a limit: rows, distinct memories that they are or cite, tokens of their texts. */
export interface BankSize {
  readonly items: number;
  readonly sources: number;
  readonly tokens: number;
}

export interface Bench {
  /** Writes memories and gives them vectors; how many rows were new. */
  ingest(bankId: string, memories: readonly MemoryInput[]): Promise<number>;
  /** Works the bank off with the real engine; how many memories are still pending. */
  consolidate(bankId: string): Promise<number>;
  /** Makes a bank of the same memories whose observations are what the baseline folds them to; its name. */
  foldedBank(bankId: string, memories: readonly MemoryInput[], baseline: Baseline): Promise<string>;
  recall(request: RecallRequest): Promise<readonly RecallItem[]>;
  size(bankId: string, only: RecallRequest['only']): Promise<BankSize>;
  close(): Promise<void>;
}

/** An embedded server that is thrown away, the real local embedder, the real engine. */
export async function openBench(): Promise<Bench> {
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(dataDir, 0o711);
  const [clock, log, metrics, racepoints] = [
    systemClock,
    createLog({ level: 'warn', pretty: false }),
    createMetrics(),
    inertRacepoints,
  ];
  const server = await startEmbeddedPostgres({ dataDir, log, clock, extraSettings: { fsync: 'off' } });
  const db = createDatabase({
    connectionString: server.connectionString,
    poolMax: 10,
    applicationName: 'engramd-bench',
    log,
    clock,
    metrics,
  });
  await migrate(db, await readMigrations(new URL('../../src/store/migrations', import.meta.url).pathname));
  const embedder = guardedEmbedder(remembering(createLocalEmbedder()), assertNoLease);
  await pinEmbeddingModel(db, embedder.model);
  const vectors = await chooseVectorIndex({ db, log });
  await vectors.prepare(embedder.model);
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'bench', pid: process.pid, version: '0.0.0' });
  const writer = createMemoryWriter({
    db,
    instanceId,
    newId: () => uuid(),
    hint: async () => undefined,
    racepoints,
    metrics,
    log,
  });
  const { embedPending } = createPendingEmbedder({ db, embedder, racepoints, metrics, log });
  const engine = createConsolidationEngine({
    db,
    vectors,
    embedder,
    decider: createRulesDecider(),
    instanceId,
    concurrency: 16,
    apply: 'auto',
    log,
    clock,
    metrics,
    racepoints,
    random: Math.random,
    newId: uuid,
  });
  const { recall } = createRecall({ db, vectors, embedder, clock, metrics, log });
  const { signal } = new AbortController();

  const bench: Bench = {
    async ingest(bankId, memories) {
      const { added } = await writer.writeMemories(bankId, memories);
      while ((await embedPending(bankId, { signal })).remaining > 0);
      return added;
    },

    async consolidate(bankId) {
      let outcome: string;
      do ({ outcome } = await engine.runSlice({ bankId, trigger: 'requested', signal }));
      while (outcome === 'time_up');
      return count(db, "select count(*) as n from engram.memories where bank_id = $1 and state = 'pending'", bankId);
    },

    async foldedBank(bankId, memories, baseline) {
      const folded = `${bankId}.${baseline.name}`;
      const { memories: written } = await writer.writeMemories(folded, memories);
      const texts = memories.map(embeddingText);
      const embeddings = await embedder.embed(texts, { purpose: 'memory' });
      const groups = fold(texts, embeddings, baseline);
      await db.tx({ label: 'bench' }, async (tx) => {
        const observations = groups.map((group) => ({
          image: observationImage(uuid(), texts[group.at] ?? ''),
          embedding: group.embedding,
        }));
        const base = { bankId: folded, tags: [], scopeEpoch: 1, embeddingModel: embedder.model.id };
        await insertObservations(tx, { ...base, observations });
        const links = groups.flatMap((group, index) =>
          group.members.map((member) => ({
            observationId: observations[index]?.image.id ?? '',
            memoryId: written[member]?.id ?? '',
            memoryVersion: 1,
          })),
        );
        await upsertLinks(tx, folded, links);
      });
      return folded;
    },

    recall: async (request) => (await recall(request)).items,

    async size(bankId, only) {
      const { rows } = await db.query<BankSize>(
        `with cited as (
           select s.memory_id, coalesce(o.canonical_id, o.id) as root_id from engram.observation_sources s
           join engram.observations o on o.bank_id = s.bank_id and o.id = s.observation_id
           join engram.observations root on root.bank_id = o.bank_id and root.id = coalesce(o.canonical_id, o.id)
           where s.bank_id = $1 and root.is_live and $2 <> 'memories'),
         items as (
           select text from engram.observations where bank_id = $1 and is_live and $2 <> 'memories'
           union all
           select text from engram.memories where bank_id = $1 and $2 <> 'observations'
             and id not in (select memory_id from cited))
         select count(*) as items, sum(ceil(length(text) / 4.0))::int as tokens,
           case when $2 = 'observations' then (select count(distinct memory_id) from cited)
             else (select count(*) from engram.memories where bank_id = $1) end as sources
         from items`,
        [bankId, only ?? 'both'],
      );
      return rows[0] ?? { items: 0, sources: 0, tokens: 0 };
    },

    async close() {
      await vectors.release();
      await embedder.release();
      await db.close();
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return bench;
}

/** Five variants ask the same questions. */
function remembering(inner: Embedder): Embedder {
  const known = new Map<string, Float32Array>();
  return {
    model: inner.model,
    async embed(texts, options) {
      const missing = [...new Set(texts.filter((text) => !known.has(text)))];
      const vectors = await inner.embed(missing, options);
      for (const [index, text] of missing.entries()) known.set(text, vectors[index] ?? new Float32Array());
      return texts.map((text) => known.get(text) ?? new Float32Array());
    },
    release: () => inner.release(),
  };
}

interface Group {
  /** The memory whose text stands for all. */
  readonly at: number;
  readonly embedding: Float32Array;
  readonly members: number[];
}

function fold(texts: readonly string[], embeddings: readonly Float32Array[], { similarity }: Baseline): Group[] {
  const groups: Group[] = [];
  embeddings.forEach((embedding, at) => {
    const twin = groups.find((group) =>
      similarity === null ? texts[group.at] === texts[at] : cosine(group.embedding, embedding) >= similarity,
    );
    if (twin) twin.members.push(at);
    else groups.push({ at, embedding, members: [at] });
  });
  return groups;
}

function observationImage(id: string, text: string) {
  return {
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
  };
}

async function count(db: Database, sql: string, bankId: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>(sql, [bankId]);
  return rows[0]?.n ?? 0;
}
