import { v7 as uuid } from 'uuid';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import type { Batch, BatchLimits, Decider, ProposedOp, Verdict } from '../../src/consolidation/decider.ts';
import type { ConsolidationDeps } from '../../src/consolidation/dependencies.ts';
import type { ConsolidationEngine, SliceReport } from '../../src/consolidation/engine.ts';
import { batchLimits } from '../../src/consolidation/packing.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import type { VectorIndex } from '../../src/store/vectors/vector-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createFakeEmbedder, type FakeEmbedder, wordVector } from '../support/fake-embedder.ts';
import { createRaceControl, type RaceControl } from '../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** The bank that a workbench starts with. */
export const bankId = 'bench';

type Propose = (batch: Batch) => readonly ProposedOp[] | Promise<readonly ProposedOp[]>;

const createEach: Propose = (batch) =>
  batch.memories.map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text, memory.mentionedAt));

const sameIfEqual = (held: string, offered: string): Verdict => (held === offered ? 'same' : 'different');

const keepIfSaid = (text: string, sources: readonly string[]): string | Promise<string> =>
  sources.includes(text) ? text : (sources.at(-1) ?? text);

/** A decider that does what the test tells it; by default every memory becomes an observation of its own. */
export class ScriptedDecider implements Decider {
  readonly name = 'scripted/1';
  readonly asksModel: boolean = false;
  limits: BatchLimits = batchLimits;
  readonly readsSources = true;
  batches: Batch[] = [];
  pairs: [held: string, offered: string][] = [];
  propose_ = createEach;
  adjudicate_ = sameIfEqual;
  rewrite_ = keepIfSaid;

  /** As new: whatever a test told it is forgotten. */
  reset(): void {
    this.batches = [];
    this.pairs = [];
    this.propose_ = createEach;
    this.adjudicate_ = sameIfEqual;
    this.rewrite_ = keepIfSaid;
    this.limits = batchLimits;
  }

  async propose(batch: Batch) {
    assertNoLease('propose');
    this.batches.push(batch);
    return { ops: await this.propose_(batch) };
  }

  async adjudicate(pair: Parameters<Decider['adjudicate']>[0], admissible: readonly Verdict[]) {
    assertNoLease('adjudicate');
    this.pairs.push([pair.held.text, pair.offered.text]);
    const verdict = this.adjudicate_(pair.held.text, pair.offered.text);
    return { verdict: admissible.includes(verdict) ? verdict : ('different' as const), reason: 'scripted' };
  }

  async rewrite(request: Parameters<Decider['rewrite']>[0]) {
    assertNoLease('rewrite');
    const text = await this.rewrite_(
      request.text,
      request.sources.map((source) => source.text),
    );
    return { text, reason: 'scripted' };
  }

  async readyAt(): Promise<Date | null> {
    return null;
  }

  async blames(): Promise<'memory' | 'model'> {
    return 'memory';
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

/** The alias under which a decider was shown a memory of this text. */
export function memoryAlias(batch: Batch, text: string): string {
  return aliasIn(batch.memories, text);
}

/** The alias under which a decider was shown an observation of this text. */
export function observationAlias(batch: Batch, text: string): string {
  return aliasIn(batch.observations, text);
}

function aliasIn(rows: readonly { readonly alias: string; readonly text: string }[], text: string): string {
  const row = rows.find((candidate) => candidate.text === text);
  if (!row) throw new Error(`not shown: "${text}" (only ${JSON.stringify(rows.map((shown) => shown.text))})`);
  return row.alias;
}

/** A bank on a real server with a real engine; only the decider and the embedder do as they are told. */
export interface Workbench {
  /** The bank that everything below works on. */
  readonly bankId: string;
  /** Goes on with an empty bank, and with decider, embedder, races and log as new. */
  freshBank(): Promise<void>;
  readonly database: TestDatabase;
  readonly decider: ScriptedDecider;
  readonly embedder: FakeEmbedder;
  readonly races: RaceControl;
  readonly engine: ConsolidationEngine;
  /** The index of `engine`. */
  readonly vectors: VectorIndex;
  /** A second process on the same database: own caches, own instance, shared decider unless given. */
  engineBeside(overrides?: Partial<ConsolidationDeps>): Promise<ConsolidationEngine>;
  remember(...memories: readonly (string | MemoryFixture)[]): Promise<string[]>;
  consolidate(options?: { signal?: AbortSignal; engine?: ConsolidationEngine }): Promise<SliceReport>;
  /** Warnings and errors of the engines so far, one line of JSON each. */
  readonly logged: readonly string[];
  rows<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export async function createWorkbench(
  overrides: Partial<ConsolidationDeps> = {},
  options: { readonly poolMax?: number } = {},
): Promise<Workbench> {
  const database = await createTestDatabase({ poolMax: options.poolMax ?? 20 });
  const { db } = database;
  const decider = new ScriptedDecider();
  const embedder = createFakeEmbedder();
  const races = createRaceControl();
  await pinEmbeddingModel(db, embedder.model);
  let bank = bankId;
  let banks = 1;
  await db.query('insert into engram.banks (id) values ($1)', [bank]);
  const logged: string[] = [];
  const log = createLog({ level: 'warn', pretty: false, destination: { write: (line) => logged.push(line) } });
  const indexes: VectorIndex[] = [];

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
      apply: 'auto',
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
  const [vectors] = indexes;
  if (!vectors) throw new Error('an engine was made without an index');

  return {
    database,
    decider,
    embedder,
    races,
    engine,
    vectors,
    engineBeside: makeEngine,
    logged,
    get bankId() {
      return bank;
    },
    async freshBank() {
      banks += 1;
      bank = `${bankId}-${banks}`;
      await db.query('insert into engram.banks (id) values ($1)', [bank]);
      decider.reset();
      embedder.onEmbed = undefined;
      races.clear();
      logged.length = 0;
    },
    async remember(...memories) {
      const fixtures = memories.map(
        (memory): MemoryFixture => (typeof memory === 'string' ? { text: memory } : memory),
      );
      const rows = fixtures.map((fixture, index) => ({
        n: index + 1,
        id: uuid(),
        text: fixture.text,
        tags: fixture.tags ?? [],
        mentionedAt: fixture.mentionedAt ?? null,
      }));
      // In one statement they have one created_at, and their ids, made one after the other, keep them in order.
      await db.query(
        `insert into engram.memories (bank_id, id, text, tags, mentioned_at, embedding, embedding_model)
         select $1, r.id, r.text, r.tags, r."mentionedAt", v.vector::real[], case when v.vector is not null then $4 end
         from jsonb_to_recordset($2::jsonb) as r(n int, id uuid, text text, tags text[], "mentionedAt" timestamptz)
         join unnest($3::text[]) with ordinality as v(vector, n) on v.n = r.n`,
        [
          bank,
          JSON.stringify(rows),
          fixtures.map(({ text, unembedded }) => (unembedded ? null : encodeRealArray(wordVector(text)))),
          embedder.model.id,
        ],
      );
      return rows.map((row) => row.id);
    },
    consolidate: (options = {}) =>
      (options.engine ?? engine).runSlice({
        bankId: bank,
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
