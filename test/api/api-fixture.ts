import type { FastifyInstance } from 'fastify';
import { v7 as uuid } from 'uuid';
import { createApp } from '../../src/api/app.ts';
import type { ApiQueue, AppCondition, AppDeps } from '../../src/api/app-deps.ts';
import { createTimelineFollowers } from '../../src/api/timeline-followers.ts';
import { createCuration } from '../../src/curation/create-curation.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import { createEmbeddingSwitcher } from '../../src/ingest/embedding-switch.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { createTestDatabase } from '../support/test-database.ts';

export const noJobs = {
  consolidate: { ready: 0, delayed: 0, active: 0, oldestReadyAt: null },
  embed: { ready: 0, delayed: 0, active: 0, oldestReadyAt: null },
  score: { ready: 0, delayed: 0, active: 0, oldestReadyAt: null },
  deadLetters: 0,
  inFlight: 0,
};

/** The HTTP surface on a database of its own; the queue only notes what it is asked for. */
export async function createApiFixture(
  overrides: Partial<Omit<AppDeps, 'settings'>> & { settings?: Partial<AppDeps['settings']> } = {},
) {
  const test = await createTestDatabase();
  const fake = createFakeEmbedder();
  const embedder = guardedEmbedder(fake, assertNoLease);
  const next = createFakeEmbedder({ model: { id: 'openai/next', dimensions: 64, provider: 'openai' } });
  const instanceId = uuid();
  await pinEmbeddingModel(test.db, embedder.model);
  await insertInstance(test.db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const vectors = createExactIndex({ db: test.db, log: silentLog });
  const asked: string[] = [];
  const queue: ApiQueue = {
    hint: async (bankId) => void asked.push(`hint ${bankId}`),
    requestConsolidation: async (bankId) => {
      asked.push(`consolidate ${bankId}`);
      return { jobId: 'job-1' };
    },
    listJobs: async (options) => {
      asked.push(`list ${JSON.stringify(options)}`);
      return [];
    },
    retryJobs: async (ids) => {
      asked.push(`retry ${JSON.stringify(ids)}`);
      return 2;
    },
    retryParked: async (bankId) => {
      asked.push(`unpark ${bankId ?? 'all'}`);
      return { memories: 3, scores: 1 };
    },
    snapshot: async () => noJobs,
  };
  let condition: AppCondition = 'ready';
  const work: string[] = [];
  let inFlight = 0;
  const { settings, ...rest } = overrides;
  const deps: AppDeps = {
    db: test.db,
    vectors,
    embedder,
    decider: { readyAt: () => Promise.resolve(null) },
    significance: { readyAt: () => Promise.resolve(null) },
    engine: { dryRun: async () => ({ memories: 0, ops: [], rejected: [], undecided: [], calls: 0, costUsd: 0 }) },
    queue,
    curation: createCuration({
      db: test.db,
      embedder,
      decider: { name: 'scripted/1' },
      instanceId,
      clock: systemClock,
      racepoints: inertRacepoints,
      newId: () => uuid(),
      hint: (bankId) => queue.hint(bankId),
    }),
    embeddings: {
      ...createEmbeddingSwitcher({ db: test.db, open: () => next, priceOf: () => undefined, onStart: () => undefined }),
      open: () => next,
      wanted: () => ({ id: next.model.id, provider: 'openai', dimensions: null }),
    },
    instance: { id: instanceId, version: '0.0.0', startedAt: new Date() },
    condition: () => condition,
    followers: createTimelineFollowers({ db: test.db, clock: rest.clock ?? systemClock, log: silentLog }),
    clock: systemClock,
    log: silentLog,
    metrics: test.metrics,
    racepoints: inertRacepoints,
    newId: () => uuid(),
    activity: {
      begin(what) {
        work.push(what);
        inFlight += 1;
        return () => {
          inFlight -= 1;
        };
      },
    },
    ...rest,
    settings: {
      httpHost: '127.0.0.1',
      allowedHosts: [],
      apiToken: undefined,
      metricsToken: undefined,
      decider: 'rules',
      chatModels: [],
      budgetLimits: { nanoUsd: 1_000_000_000, tokens: null, unpricedTokens: 2_000_000 },
      pinCap: 8,
      configuredModel: embedder.model,
      backupKeep: 14,
      snapshotKeep: 3,
      ...settings,
    },
  };
  const app = await createApp(deps);
  const pending = createPendingEmbedder({
    db: test.db,
    embedder,
    racepoints: inertRacepoints,
    metrics: test.metrics,
    log: silentLog,
  });
  return {
    ...test,
    app,
    deps,
    fake,
    asked,
    /** What moved the clock, by path, in order. */
    work,
    inFlight: () => inFlight,
    setCondition: (next: AppCondition) => {
      condition = next;
    },
    /** Gives vectors to all memories of a bank. */
    embed: async (bankId: string) => {
      while ((await pending.embedPending(bankId, { signal: new AbortController().signal })).remaining > 0);
    },
    get: (url: string) => app.inject({ method: 'GET', url }),
    post: (url: string, body: object, headers: Record<string, string> = {}) =>
      app.inject({ method: 'POST', url, payload: body, headers }),
    async close() {
      await app.close();
      await vectors.release();
      await test.drop();
    },
  };
}

export type ApiFixture = Awaited<ReturnType<typeof createApiFixture>>;

export function bodyOf<T = Record<string, unknown>>(response: Awaited<ReturnType<FastifyInstance['inject']>>): T {
  return response.json() as T;
}
