import { v7 as uuid } from 'uuid';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { chooseVectorIndex } from '../../src/store/vectors/choose-vector-index.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { startPgvector } from '../support/pgvector-server.ts';
import { type BenchServer, startPlainServer } from './bench-server.ts';
import { overheadMemories, type ReadyMemory } from './overhead-input.ts';
import { cpuOfTree } from './process-cpu.ts';
import { printTable } from './table.ts';

const memoryCount = 10_000;
const factCount = 2_500;
const boundMs = 5;
const bankId = 'overhead';

interface Figures {
  readonly adapter: string;
  readonly wallMs: number;
  readonly daemonCpuMs: number;
  readonly postgresCpuMs: number | undefined;
  readonly queries: number;
  readonly roundTrips: number;
  readonly observations: number;
  readonly pending: number;
}

/**
 * What the daemon costs beside its models: 10,000 memories whose vectors are ready, 4 a batch, decided by the rules,
 * through both vector adapters.
 */
export async function run(): Promise<void> {
  const memories = overheadMemories(memoryCount, factCount);
  const figures = [await measure('exact', await startPlainServer(), memories)];
  const pgvector = await startPgvector();
  if (pgvector.kind === 'started') figures.push(await measure('pgvector', pgvector.server, memories));
  else console.log(`pgvector: not measured, ${pgvector.reason}`);

  const perMemory = (total: number | undefined) => (total === undefined ? 'n/a' : (total / memoryCount).toFixed(2));
  printTable(
    [
      'adapter',
      'wall ms/memory',
      'daemon CPU ms',
      'PostgreSQL CPU ms',
      'queries',
      'round trips',
      'observations',
      'pending',
    ],
    figures.map((f) => [
      f.adapter,
      perMemory(f.wallMs),
      perMemory(f.daemonCpuMs),
      perMemory(f.postgresCpuMs),
      perMemory(f.queries),
      perMemory(f.roundTrips),
      String(f.observations),
      String(f.pending),
    ]),
  );
  for (const f of figures) {
    const holds =
      f.wallMs / memoryCount <= boundMs && f.observations >= 2_000 && f.observations <= 3_000 && f.pending === 0;
    console.log(
      `${holds ? 'PASS' : 'FAIL'} ${f.adapter}: at most ${boundMs} ms wall a memory, 2,000 to 3,000 observations, none pending`,
    );
    if (!holds) process.exitCode = 1;
  }
}

async function measure(
  adapter: 'exact' | 'pgvector',
  server: BenchServer,
  memories: readonly ReadyMemory[],
): Promise<Figures> {
  const metrics = createMetrics();
  const pool = createDatabase({
    connectionString: server.connectionString,
    poolMax: 10,
    applicationName: 'engramd-bench',
    log: silentLog,
    clock: systemClock,
    metrics,
  });
  const counts = { queries: 0, roundTrips: 0 };
  const db = counting(pool, counts);
  const embedder = createFakeEmbedder();
  const vectors = await prepare(db, adapter, embedder.model);
  try {
    const instanceId = uuid();
    await insertInstance(db, { id: instanceId, role: 'daemon', host: 'bench', pid: process.pid, version: '0.0.0' });
    await insertReady(db, memories, embedder.model.id);
    const engine = createConsolidationEngine({
      db,
      vectors,
      embedder,
      decider: createRulesDecider(),
      instanceId,
      concurrency: 16,
      apply: 'auto',
      batchMemories: 4,
      log: silentLog,
      clock: systemClock,
      metrics,
      racepoints: inertRacepoints,
      random: Math.random,
      newId: uuid,
    });

    counts.queries = 0;
    counts.roundTrips = 0;
    const cpuBefore = process.cpuUsage();
    const serverBefore = server.pid === undefined ? undefined : cpuOfTree(server.pid);
    const startedMs = performance.now();
    for (let outcome = 'time_up'; outcome === 'time_up'; ) {
      const slice = await engine.runSlice({ bankId, trigger: 'requested', signal: new AbortController().signal });
      outcome = slice.outcome;
    }
    const wallMs = performance.now() - startedMs;
    const cpu = process.cpuUsage(cpuBefore);
    const serverAfter = server.pid === undefined ? undefined : cpuOfTree(server.pid);
    const measured = { ...counts };
    const { rows } = await db.query<{ observations: number; pending: number }>(
      `select (select count(*) from engram.observations where is_live) as observations,
              (select count(*) from engram.memories where state = 'pending') as pending`,
    );
    return {
      adapter,
      wallMs,
      daemonCpuMs: (cpu.user + cpu.system) / 1000,
      postgresCpuMs:
        serverBefore === undefined || serverAfter === undefined ? undefined : (serverAfter - serverBefore) * 1000,
      ...measured,
      observations: rows[0]?.observations ?? 0,
      pending: rows[0]?.pending ?? -1,
    };
  } finally {
    await vectors.release();
    await pool.close();
    await server.stop();
  }
}

async function prepare(
  db: Database,
  adapter: 'exact' | 'pgvector',
  model: { id: string; dimensions: number; provider: 'local' | 'openai' },
) {
  await migrate(db, await readMigrations(new URL('../../src/store/migrations', import.meta.url).pathname));
  await pinEmbeddingModel(db, model);
  const vectors = await chooseVectorIndex({ db, log: silentLog, force: adapter });
  await vectors.prepare(model);
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  return vectors;
}

async function insertReady(db: Database, memories: readonly ReadyMemory[], model: string): Promise<void> {
  for (let at = 0; at < memories.length; at += 500) {
    const page = memories.slice(at, at + 500);
    await db.query(
      `insert into engram.memories (bank_id, id, text, mentioned_at, embedding, embedding_model)
       select $1, m.id, m.text, m.at, m.vector::real[], $2
       from unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::text[]) as m(id, text, at, vector)`,
      [
        bankId,
        model,
        page.map(() => uuid()),
        page.map((memory) => memory.text),
        page.map((memory) => memory.mentionedAt),
        page.map((memory) => encodeRealArray(memory.vector)),
      ],
    );
  }
  await db.query('analyze engram.memories');
}

/** Counts statements, and the times the wire is crossed for them: BEGIN and COMMIT are one each. */
function counting(db: Database, counts: { queries: number; roundTrips: number }): Database {
  const count = () => {
    counts.queries += 1;
    counts.roundTrips += 1;
  };
  return {
    ...db,
    query(text, values) {
      count();
      return db.query(text, values);
    },
    tx(options, work) {
      counts.roundTrips += 2;
      return db.tx(options, (tx) =>
        work({
          label: tx.label,
          query(text, values) {
            count();
            return tx.query(text, values);
          },
        }),
      );
    },
  };
}
