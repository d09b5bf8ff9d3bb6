import { v7 as uuid } from 'uuid';
import type { Database } from '../../src/db/database.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { withAdmin } from '../support/admin-connection.ts';
import type { ScriptedModelProcess } from '../support/scripted-model/process.ts';
import type { BenchServer } from './bench-server.ts';
import type { PoolPlan } from './pool.ts';
import { poolMemories, type ToldMemory } from './pool-input.ts';
import type { PoolFigures, Rate } from './pool-verdicts.ts';
import { createWatcher } from './pool-watch.ts';
import { startPoolWorker } from './pool-worker-process.ts';
import { cpuOfTree } from './process-cpu.ts';

interface Bench {
  readonly plan: PoolPlan;
  readonly server: BenchServer;
  readonly model: ScriptedModelProcess;
}

/** As many loops as the worker has slots, each asking again as soon as it has its answer: what no worker can beat. */
export async function measureModelAlone(plan: PoolPlan, model: ScriptedModelProcess): Promise<Rate> {
  const waves = 4;
  const body = JSON.stringify({
    model: 'scripted',
    messages: [
      { role: 'system', content: 'Answer in JSON.' },
      { role: 'user', content: JSON.stringify({ memories: [], observations: [] }) },
    ],
  });
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: plan.concurrency }, async () => {
      for (let call = 0; call < waves; call += 1) {
        const response = await fetch(`${model.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        });
        if (!response.ok) throw new Error(`the scripted model answered ${response.status}`);
        await response.arrayBuffer();
      }
    }),
  );
  return rate(waves * plan.concurrency, performance.now() - startedMs);
}

/** A whole worker over a database of its own, from the first request for consolidation to the last memory. */
export async function measurePool(
  options: Bench & {
    readonly name: string;
    readonly calls: number;
    readonly banks: number;
    readonly twinShare: number;
  },
): Promise<PoolFigures> {
  const { plan, name, calls, banks: bankCount, twinShare } = options;
  const perBank = (calls * plan.memoriesPerCall) / bankCount;
  const banks = Array.from({ length: bankCount }, (_, index) => ({
    id: `bank-${index + 1}`,
    memories: poolMemories({ count: perBank, twinShare, seed: index + 1 }),
  }));
  const { figures } = await measureWorker({ ...options, banks, holdsConnection: false });
  return { name, ...figures };
}

/** The baseline: few calls, since they come through two at a time. */
export async function measureHolding(bench: Bench): Promise<Rate> {
  const { plan } = bench;
  const memories = poolMemories({ count: plan.holdingCalls * plan.memoriesPerCall, twinShare: 0, seed: 1 });
  const { figures } = await measureWorker({ ...bench, banks: [{ id: 'bank-1', memories }], holdsConnection: true });
  return rate(figures.calls, figures.seconds * 1000);
}

async function measureWorker(
  options: Bench & {
    readonly banks: readonly { readonly id: string; readonly memories: readonly ToldMemory[] }[];
    readonly holdsConnection: boolean;
  },
): Promise<{ figures: Omit<PoolFigures, 'name'> }> {
  const { plan, server, model, banks, holdsConnection } = options;
  const databaseUrl = await createDatabaseOn(server);
  const watcher = createWatcher(databaseUrl);
  try {
    await migrate(watcher.db, await readMigrations(new URL('../../src/store/migrations', import.meta.url).pathname));
    for (const { id, memories } of banks) await remember(watcher.db, id, memories);
    await watcher.db.query('analyze engram.memories');
    await model.reset();
    const worker = await startPoolWorker({
      databaseUrl,
      modelUrl: model.baseUrl,
      banks: banks.map(({ id }) => id),
      poolMax: plan.poolMax,
      concurrency: plan.concurrency,
      memoriesPerCall: plan.memoriesPerCall,
      holdsConnection,
    });
    try {
      const postgresBefore = server.pid === undefined ? undefined : cpuOfTree(server.pid);
      const startedMs = performance.now();
      worker.go();
      const watched = await Promise.race([watcher.until(nothingPending), worker.failed]);
      const seconds = (watched.doneMs - startedMs) / 1000;
      const postgresAfter = server.pid === undefined ? undefined : cpuOfTree(server.pid);
      const { chat } = await model.counts();
      const report = await worker.stop();
      const { rows } = await watcher.db.query<{ observations: number; left: number }>(
        `select (select count(*)::int from engram.observations where is_live) as observations,
           (select count(*)::int from engram.memories where state <> 'consolidated') as left`,
      );
      return {
        figures: {
          calls: chat,
          seconds,
          holdP99Ms: report.holdsMs[Math.floor(report.holdsMs.length * 0.99)] ?? 0,
          holdMaxMs: report.holdsMs.at(-1) ?? 0,
          connections: [...watched.connections.values()].reduce((sum, count) => sum + count, 0),
          connectionSamples: watched.samples,
          peakRssBytes: report.peakRssBytes,
          cpuSeconds: report.cpuMs / 1000,
          postgresCpuSeconds:
            postgresBefore === undefined || postgresAfter === undefined ? undefined : postgresAfter - postgresBefore,
          observations: rows[0]?.observations ?? 0,
          left: rows[0]?.left ?? -1,
          violations: report.violations,
          replans: report.replans,
          phaseMs: report.phaseMs,
          warnings: report.warnings,
        },
      };
    } finally {
      worker.kill();
    }
  } finally {
    await watcher.close();
  }
}

async function nothingPending(db: Database): Promise<boolean> {
  // Index memories_pending.
  const { rows } = await db.query<{ left: boolean }>(
    `select exists (select from engram.memories where state = 'pending') as left`,
  );
  return rows[0]?.left === false;
}

let databases = 0;

async function createDatabaseOn(server: BenchServer): Promise<string> {
  databases += 1;
  const name = `pool_${databases}`;
  return withAdmin(server.connectionString, async (admin) => {
    await admin.query(`create database ${admin.escapeIdentifier(name)} template template0 encoding 'UTF8'`);
    return admin.urlOf(name);
  });
}

/** As `ingest` leaves them: vectors are made in the run. */
async function remember(db: Database, bankId: string, memories: readonly ToldMemory[]): Promise<void> {
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  for (let at = 0; at < memories.length; at += 500) {
    const page = memories.slice(at, at + 500);
    await db.query(
      `insert into engram.memories (bank_id, id, text, mentioned_at)
       select $1, m.id, m.text, m.at from unnest($2::uuid[], $3::text[], $4::timestamptz[]) as m(id, text, at)`,
      [bankId, page.map(() => uuid()), page.map(({ text }) => text), page.map(({ mentionedAt }) => mentionedAt)],
    );
  }
}

function rate(calls: number, elapsedMs: number): Rate {
  return { calls, seconds: elapsedMs / 1000, callsPerSecond: (calls * 1000) / elapsedMs };
}
