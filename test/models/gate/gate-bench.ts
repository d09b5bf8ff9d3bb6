import { createHash } from 'node:crypto';
import { v7 as uuid } from 'uuid';
import { createDatabase, type Database } from '../../../src/db/database.ts';
import { createBudget } from '../../../src/models/budget.ts';
import { createModelGate, type ModelGateOptions } from '../../../src/models/create-model-gate.ts';
import type { CallFacts, ModelGate, Performed, TokenUsage } from '../../../src/models/model-gate.ts';
import { readPrices } from '../../../src/models/prices.ts';
import { ProviderError } from '../../../src/models/provider-errors.ts';
import { createSlots } from '../../../src/models/slots.ts';
import type { DayLimits } from '../../../src/store/budget-ledger.ts';
import type { Clock } from '../../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createDrivenClock, type DrivenClock } from '../../support/driven-clock.ts';
import { createRaceControl, type RaceControl } from '../../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';

export const endpoint = 'http://127.0.0.1:9/v1';
/** Its list price is 250 and 2,000 billionths of a dollar a token. */
export const model = 'gpt-5-mini';

export const plenty: DayLimits = { nanoUsd: 1e12, tokens: null, unpricedTokens: 1e9 };

export const never = new AbortController().signal;

/** A process: a gate on a pool of its own. */
export interface Process {
  readonly gate: ModelGate;
  readonly db: Database;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly races: RaceControl;
}

export interface GateBench {
  readonly database: TestDatabase;
  readonly clock: DrivenClock;
  /** Log lines from info on, parsed. */
  readonly logged: { level: number; msg: string }[];
  process(overrides?: Partial<ModelGateOptions> & { readonly limits?: DayLimits; readonly clock?: Clock }): Process;
  rows<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Lets time pass whenever nothing is under way but sleeping, until the promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Gives what is under way at the database its time, and moves none. */
  settle(): Promise<void>;
  clear(): Promise<void>;
  close(): Promise<void>;
}

export async function createGateBench(): Promise<GateBench> {
  const database = await createTestDatabase();
  const clock = createDrivenClock(new Date('2026-03-01T12:00:00Z'));
  const logged: { level: number; msg: string }[] = [];
  const log = createLog({
    level: 'info',
    pretty: false,
    destination: { write: (line) => logged.push(JSON.parse(line)) },
  });
  const pools: Database[] = [];
  const rows = async <Row>(sql: string, values?: readonly unknown[]) =>
    (await database.db.query<Row>(sql, values)).rows;

  return {
    database,
    clock,
    logged,
    process(overrides = {}) {
      const metrics = createMetrics();
      const races = createRaceControl();
      const { limits = plenty, ...more } = overrides;
      const db = createDatabase({
        connectionString: database.connectionString,
        poolMax: 4,
        applicationName: 'engramd-test',
        log: silentLog,
        clock,
        metrics,
      });
      pools.push(db);
      const gate = createModelGate({
        db,
        endpoint,
        model,
        modelSetting: 'ENGRAMD_LLM_MODEL',
        slots: createSlots(16),
        budget: createBudget({ db, limits, clock: more.clock ?? clock, metrics }),
        prices: readPrices(),
        callTimeoutMs: 60_000,
        instanceId: uuid(),
        clock,
        log,
        metrics,
        racepoints: races,
        random: () => 0.5,
        newId: () => uuid(),
        ...more,
      });
      return { gate, db, metrics, races };
    },
    rows,
    async settle() {
      for (let n = 0; n < 30; n += 1) await database.db.query('select 1');
    },
    until: (promise) =>
      clock.drive(promise, () =>
        pools.every((pool) => {
          const { used, waiting } = pool.poolCounts();
          return used + waiting === 0;
        }),
      ),
    async clear() {
      await database.db.query(
        `truncate engram.model_calls, engram.budget_ledger, engram.model_answers, engram.model_breakers,
           engram.erasures, engram.banks cascade`,
      );
      logged.length = 0;
    },
    async close() {
      await Promise.all(pools.map((pool) => pool.close()));
      await database.drop();
    },
  };
}

export function callFacts(overrides: Partial<CallFacts> = {}): CallFacts {
  return {
    purpose: 'consolidate',
    bankId: null,
    requestHash: createHash('sha256').update('request').digest(),
    subjectIds: [],
    memories: 4,
    promptBytes: 1000,
    maxOutputTokens: 500,
    ...overrides,
  };
}

export const smallUsage: TokenUsage = { promptTokens: 250, cachedTokens: 50, outputTokens: 100 };

export function answering<T>(value: T, rest: Partial<Performed<T>> = {}): () => Promise<Performed<T>> {
  return async () => ({ value, usage: smallUsage, ...rest });
}

export function failing(
  errorClass: ProviderError['errorClass'],
  options: { retryAfterMs?: number; status?: number; cause?: unknown } = {},
): () => Promise<never> {
  return async () => {
    throw new ProviderError(errorClass, `the endpoint said ${errorClass}`, options);
  };
}

/** A request that is out until the test says how it ends. */
export function heldRequest<T>() {
  const sent = Promise.withResolvers<AbortSignal>();
  const end = Promise.withResolvers<Performed<T>>();
  return {
    sent: sent.promise,
    perform: (signal: AbortSignal) => {
      sent.resolve(signal);
      return end.promise;
    },
    answer: (value: T, rest: Partial<Performed<T>> = {}) => end.resolve({ value, usage: smallUsage, ...rest }),
    fail: (error: unknown) => end.reject(error),
  };
}
