import { v7 as uuid } from 'uuid';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { createSignificanceEngine, type SignificanceDeps } from '../../src/significance/create-engine.ts';
import { type PinReport, pinMemory, unpinMemory } from '../../src/significance/pins.ts';
import type { ScorableMemory, ScoreAnswer, Scorer, Significance } from '../../src/significance/scorer.ts';
import type { ScoreReport, SignificanceEngine } from '../../src/significance/significance.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createRaceControl, type RaceControl } from '../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** A scorer that reads the score out of the text: "3: allergic to nuts" is a 3. Does as it is told otherwise. */
export interface ScriptedScorer extends Scorer {
  batches: (readonly ScorableMemory[])[];
  answer: (memory: ScorableMemory) => ScoreAnswer | Promise<ScoreAnswer>;
}

export function scored(significance: Significance, ...entities: readonly string[]): ScoreAnswer {
  return { kind: 'scored', significance, entities };
}

export function scoreInText({ text }: Pick<ScorableMemory, 'text'>): ScoreAnswer {
  switch (text[0]) {
    case '0':
      return scored(0);
    case '2':
      return scored(2);
    case '3':
      return scored(3);
    default:
      return scored(1);
  }
}

export function createScriptedScorer(): ScriptedScorer {
  const scorer: ScriptedScorer = {
    name: 'rules',
    scoredBy: 'scripted/1',
    batchSize: 12,
    batches: [],
    answer: scoreInText,
    readyAt: async () => null,
    async score(_bankId, memories) {
      assertNoLease('score');
      scorer.batches.push(memories);
      return Promise.all(memories.map((memory) => scorer.answer(memory)));
    },
  };
  return scorer;
}

export interface StoredMemory {
  readonly id: string;
  readonly text: string;
  readonly significance: number | null;
  readonly isScored: boolean;
  readonly attempts: number;
  readonly parked: string | null;
  readonly pin: 'manual' | 'auto' | null;
}

export interface SignificanceBench {
  readonly database: TestDatabase;
  readonly db: Database;
  readonly bankId: string;
  readonly scorer: ScriptedScorer;
  readonly races: RaceControl;
  readonly deps: SignificanceDeps;
  readonly engine: SignificanceEngine;
  readonly logged: readonly string[];
  freshBank(): Promise<void>;
  rows<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** As another process: a pool, an instance and racepoints of its own. */
  beside(overrides?: Partial<SignificanceDeps>): Promise<SignificanceDeps>;
  /** In one statement and with growing ids. */
  remember(...texts: readonly string[]): Promise<string[]>;
  /** Until nothing is due. */
  scoreAll(engine?: SignificanceEngine): Promise<void>;
  score(engine?: SignificanceEngine): Promise<ScoreReport>;
  pin(memoryId: string): Promise<PinReport | null>;
  unpin(memoryId: string): Promise<PinReport | null>;
  /** What rests is due. */
  wakeAll(): Promise<void>;
  memories(): Promise<StoredMemory[]>;
  /** Ids of valid pinned memories, oldest first. */
  pins(kind?: 'manual' | 'auto'): Promise<string[]>;
  /** Kinds and what they are about, oldest first, without those of triggers. */
  events(memoryId?: string): Promise<{ kind: string; memory: string; detail: Record<string, unknown> }[]>;
  close(): Promise<void>;
}

export async function createSignificanceBench(overrides: Partial<SignificanceDeps> = {}): Promise<SignificanceBench> {
  const database = await createTestDatabase();
  const { db } = database;
  const pools: Database[] = [];
  const scorer = createScriptedScorer();
  const races = createRaceControl();
  const logged: string[] = [];
  let banks = 0;
  let bankId = '';
  const signal = new AbortController().signal;

  async function depsOf(pool: Database, more: Partial<SignificanceDeps> = {}): Promise<SignificanceDeps> {
    const instanceId = uuid();
    await insertInstance(pool, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
    return {
      db: pool,
      scorer,
      pinCap: 3,
      instanceId,
      log: createLog({ level: 'warn', pretty: false, destination: { write: (line) => logged.push(line) } }),
      metrics: database.metrics,
      racepoints: races,
      random: () => 0.5,
      ...overrides,
      ...more,
    };
  }

  async function freshBank(): Promise<void> {
    banks += 1;
    bankId = `bank-${banks}`;
    await db.query('insert into engram.banks (id) values ($1)', [bankId]);
    scorer.batches = [];
    scorer.answer = scoreInText;
    races.clear();
    logged.length = 0;
  }

  const deps = await depsOf(db);
  const engine = createSignificanceEngine(deps);
  await freshBank();
  const bench: SignificanceBench = {
    database,
    db,
    get bankId() {
      return bankId;
    },
    scorer,
    races,
    deps,
    engine,
    logged,
    freshBank,
    rows: async <Row>(sql: string, values?: readonly unknown[]) => (await db.query<Row>(sql, values)).rows,
    async beside(more = {}) {
      const pool = createDatabase({
        connectionString: database.connectionString,
        poolMax: 4,
        applicationName: 'engramd-test',
        log: silentLog,
        clock: systemClock,
        metrics: createMetrics(),
      });
      pools.push(pool);
      return depsOf(pool, { racepoints: createRaceControl(), ...more });
    },
    async remember(...texts) {
      const ids = texts.map(() => uuid());
      await db.query(
        'insert into engram.memories (bank_id, id, text) select $1, m.id, m.text from unnest($2::uuid[], $3::text[]) as m(id, text)',
        [bankId, ids, texts],
      );
      return ids;
    },
    score: (by = engine) => by.scoreBatch(bankId, { signal }),
    async scoreAll(by = engine) {
      while ((await by.scoreBatch(bankId, { signal })).remaining > 0);
    },
    pin: (memoryId) => pinMemory(deps, { bankId, memoryId }),
    unpin: (memoryId) => unpinMemory(deps, { bankId, memoryId }),
    async wakeAll() {
      await db.query('update engram.memories set score_next_at = now() where bank_id = $1', [bankId]);
    },
    async memories() {
      const { rows } = await db.query<StoredMemory>(
        `select id, text, significance, scored_version is not distinct from version as "isScored",
           score_attempts as attempts, score_parked as parked, pin
         from engram.memories where bank_id = $1 order by created_at, id`,
        [bankId],
      );
      return rows;
    },
    async pins(kind) {
      const { rows } = await db.query<{ id: string }>(
        `select id from engram.memories
         where bank_id = $1 and pin is not null and ($2::text is null or pin = $2) and invalidated_at is null
         order by created_at, id`,
        [bankId, kind ?? null],
      );
      return rows.map(({ id }) => id);
    },
    async events(memoryId) {
      const { rows } = await db.query<{ kind: string; memory: string; detail: Record<string, unknown> }>(
        `select kind, memory_id as memory, detail from engram.events
         where bank_id = $1 and ($2::uuid is null or memory_id = $2)
           and kind in ('memory.scored', 'memory.pinned', 'memory.unpinned', 'memory.evicted')
         order by id`,
        [bankId, memoryId ?? null],
      );
      return rows;
    },
    async close() {
      for (const pool of pools) await pool.close();
      await database.drop();
    },
  };
  return bench;
}
