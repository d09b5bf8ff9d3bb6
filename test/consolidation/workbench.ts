import { v7 as uuid } from 'uuid';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import type { Batch, Decider, ProposedOp, Verdict } from '../../src/consolidation/decider.ts';
import type { ConsolidationDeps } from '../../src/consolidation/dependencies.ts';
import type { ConsolidationEngine, SliceReport } from '../../src/consolidation/engine.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createFakeEmbedder, type FakeEmbedder, wordVector } from '../support/fake-embedder.ts';
import { createRaceControl, type RaceControl } from '../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

export const bankId = 'bench';

/** A decider that does what the test tells it; by default every memory becomes an observation of its own. */
export class ScriptedDecider implements Decider {
  readonly name = 'scripted/1';
  readonly batches: Batch[] = [];
  propose_: (batch: Batch) => readonly ProposedOp[] | Promise<readonly ProposedOp[]> = (batch) =>
    batch.memories.map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text, memory.mentionedAt));
  adjudicate_: (held: string, offered: string) => Verdict = (held, offered) => (held === offered ? 'same' : 'different');
  rewrite_: (text: string, sources: readonly string[]) => string = (text, sources) =>
    sources.includes(text) ? text : (sources.at(-1) ?? text);

  async propose(batch: Batch) {
    assertNoLease('propose');
    this.batches.push(batch);
    return { ops: await this.propose_(batch) };
  }

  async adjudicate(pair: Parameters<Decider['adjudicate']>[0], admissible: readonly Verdict[]) {
    assertNoLease('adjudicate');
    const verdict = this.adjudicate_(pair.held.text, pair.offered.text);
    return { verdict: admissible.includes(verdict) ? verdict : ('different' as const), reason: 'scripted' };
  }

  async rewrite(request: Parameters<Decider['rewrite']>[0]) {
    assertNoLease('rewrite');
    const text = this.rewrite_(
      request.text,
      request.sources.map((source) => source.text),
    );
    return { text, reason: 'scripted' };
  }
}

export function createOp(memory: string, as: string, text: string, validFrom: Date | null = null): ProposedOp {
  return { op: 'create', as, text, memories: [memory], validFrom, reason: 'scripted' };
}

export interface MemoryFixture {
  readonly text: string;
  readonly tags?: readonly string[];
  readonly mentionedAt?: string;
  /** Leave the vector to the batch. */
  readonly unembedded?: boolean;
}

/** A bank on a real server with a real engine; only the decider and the embedder do as they are told. */
export interface Workbench {
  readonly database: TestDatabase;
  readonly decider: ScriptedDecider;
  readonly embedder: FakeEmbedder;
  readonly races: RaceControl;
  readonly engine: ConsolidationEngine;
  /** A second process on the same database: own caches, own instance, shared decider unless given. */
  engineBeside(overrides?: Partial<ConsolidationDeps>): Promise<ConsolidationEngine>;
  remember(...memories: readonly (string | MemoryFixture)[]): Promise<string[]>;
  consolidate(options?: { signal?: AbortSignal; engine?: ConsolidationEngine }): Promise<SliceReport>;
  /** Warnings and errors of the engines so far, one line of JSON each. */
  readonly logged: readonly string[];
  rows<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export async function createWorkbench(overrides: Partial<ConsolidationDeps> = {}): Promise<Workbench> {
  const database = await createTestDatabase({ poolMax: 20 });
  const { db } = database;
  const decider = new ScriptedDecider();
  const embedder = createFakeEmbedder();
  const races = createRaceControl();
  await pinEmbeddingModel(db, embedder.model);
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  const logged: string[] = [];
  const log = createLog({ level: 'warn', pretty: false, destination: { write: (line) => logged.push(line) } });
  const indexes: { release(): Promise<void> }[] = [];

  const makeEngine = async (more: Partial<ConsolidationDeps> = {}) => {
    const instanceId = uuid();
    await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
    const vectors = createExactIndex({ db, log: silentLog });
    indexes.push(vectors);
    return createConsolidationEngine({
      db,
      vectors,
      embedder: guardedEmbedder(embedder, assertNoLease),
      decider,
      instanceId,
      concurrency: 4,
      log,
      clock: systemClock,
      metrics: database.metrics,
      racepoints: races,
      random: () => 0.5,
      newId: () => uuid(),
      ...overrides,
      ...more,
    });
  };
  const engine = await makeEngine();

  return {
    database,
    decider,
    embedder,
    races,
    engine,
    engineBeside: makeEngine,
    logged,
    async remember(...memories) {
      const fixtures = memories.map((memory): MemoryFixture => (typeof memory === 'string' ? { text: memory } : memory));
      const ids: string[] = [];
      for (const fixture of fixtures) {
        const id = uuid();
        ids.push(id);
        await db.query(
          `insert into engram.memories (bank_id, id, text, tags, mentioned_at, embedding, embedding_model)
           values ($1, $2, $3, $4, $5, $6::real[], $7)`,
          [
            bankId,
            id,
            fixture.text,
            fixture.tags ?? [],
            fixture.mentionedAt ?? null,
            fixture.unembedded ? null : encodeRealArray(wordVector(fixture.text)),
            fixture.unembedded ? null : embedder.model.id,
          ],
        );
      }
      return ids;
    },
    consolidate: (options = {}) =>
      (options.engine ?? engine).runSlice({
        bankId,
        trigger: 'requested',
        signal: options.signal ?? new AbortController().signal,
      }),
    rows: async <Row>(sql: string, values?: readonly unknown[]) => (await db.query<Row>(sql, values)).rows,
    async close() {
      await Promise.all(indexes.map((index) => index.release()));
      await database.drop();
    },
  };
}
