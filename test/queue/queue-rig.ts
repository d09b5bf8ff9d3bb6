import { randomUUID } from 'node:crypto';
import { vi } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createWorkQueue, type WorkQueue, type WorkQueueDeps } from '../../src/queue/work-queue.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createScriptedEngine, type ScriptedEngine } from './scripted-engine.ts';

export interface Rig {
  readonly queue: WorkQueue;
  readonly engine: ScriptedEngine;
  readonly metrics: Metrics;
}

/** A work queue on a database of the test, with an engine that does as it is told. */
export function createRig(db: Database, overrides: Partial<WorkQueueDeps> & { engine?: ScriptedEngine } = {}): Rig {
  const engine = overrides.engine ?? createScriptedEngine();
  const metrics = overrides.metrics ?? createMetrics();
  const queue = createWorkQueue({
    db,
    decider: { readyAt: async () => null },
    embedPending: async () => ({ embedded: 0, remaining: 0 }),
    significance: { scoreBatch: async () => ({ scored: 0, remaining: 0 }), readyAt: async () => null },
    clock: systemClock,
    log: silentLog,
    racepoints: inertRacepoints,
    ...overrides,
    engine,
    metrics,
  });
  return { queue, engine, metrics };
}

export async function addBank(db: Database, bankId: string): Promise<void> {
  await db.query('insert into engram.banks (id) values ($1) on conflict do nothing', [bankId]);
}

/** Pending memories written `ageSeconds` ago, with vectors and a score unless said otherwise. */
export async function addMemories(
  db: Database,
  bankId: string,
  options: { count?: number; ageSeconds?: number; embedded?: boolean; scored?: boolean } = {},
): Promise<string[]> {
  const { count = 1, ageSeconds = 0, embedded = true, scored = true } = options;
  await addBank(db, bankId);
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active) values ('test/2', 'test', 2, true)
     on conflict do nothing`,
  );
  const ids = Array.from({ length: count }, () => randomUUID());
  await db.query(
    `insert into engram.memories
       (bank_id, id, text, created_at, next_attempt_at, score_next_at, embedding, embedding_model, scored_version, significance)
     select $1, id, 'text of ' || id, now() - make_interval(secs => $3), now() - make_interval(secs => $3),
       now() - make_interval(secs => $3), case when $4 then '{1,0}'::real[] end, case when $4 then 'test/2' end,
       case when $5 then 1 end, case when $5 then 1 end
     from unnest($2::uuid[]) as id`,
    [bankId, ids, ageSeconds, embedded, scored],
  );
  return ids;
}

/** What a slice that did its work leaves behind. */
export async function consolidateAll(db: Database, bankId: string): Promise<void> {
  await db.query("update engram.memories set state = 'consolidated' where bank_id = $1 and state = 'pending'", [
    bankId,
  ]);
}

export interface JobRow {
  readonly id: string;
  readonly name: string;
  readonly bankId: string;
  readonly state: string;
  readonly trigger: string;
  readonly retryCount: number;
  /** Seconds from now; negative in the past. */
  readonly startsIn: number;
  readonly createdAt: Date;
}

/** Jobs that have not ended, or all, oldest first. */
export async function jobRows(db: Database, options: { ended?: boolean; queue?: string } = {}): Promise<JobRow[]> {
  const { rows } = await db.query<JobRow>(
    `select id, name, singleton_key as "bankId", state::text, data->>'trigger' as trigger, retry_count as "retryCount",
       extract(epoch from start_after - now())::float8 as "startsIn", created_on as "createdAt"
     from pgboss.job where ($1 or state <= 'active') and name = coalesce($2, name)
     order by created_on, id`,
    [options.ended ?? false, options.queue ?? null],
  );
  return rows;
}

/** Brings the bank's job forward, as time would. */
export async function makeJobStart(db: Database, bankId: string): Promise<void> {
  await db.query("update pgboss.job set start_after = now() where singleton_key = $1 and state < 'active'", [bankId]);
}

/** Until `check` passes: the poller looks once a second, and the machine may be busy. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 15_000, interval: 20 });
}
