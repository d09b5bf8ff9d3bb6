import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';
import { openModels } from '../../src/daemon/open-models.ts';
import { readPrices } from '../../src/models/prices.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const now = new Date('2026-03-01T12:00:00Z');
const own = 'http://127.0.0.1:9/v1';
const env = {
  ENGRAMD_DECIDER: 'llm',
  OPENAI_BASE_URL: own,
  ENGRAMD_LLM_MODEL: 'mine',
  ENGRAMD_LLM_MODEL_ADJUDICATE: 'mine-small',
  ENGRAMD_EMBEDDING_MODEL: 'my-vectors',
};

beforeEach(async () => {
  await database.db.query('truncate engram.model_breakers');
  await database.db.query(
    `insert into engram.model_breakers (endpoint, model, error_class, message, failures, opened_at, reopens_at)
     select endpoint, model, 'configuration', 'wrong', 9, $1::timestamptz, $1::timestamptz + interval '30 minutes'
     from (values ($2, 'mine'), ($2, 'mine for scores'), ($2, 'mine-small'), ($2, 'my-vectors'), ($2, 'theirs'), ('http://elsewhere/v1', 'mine'))
       as b(endpoint, model)`,
    [now, own],
  );
});

function open(role: 'daemon' | 'cli', more: Readonly<Record<string, string>> = {}) {
  return openModels({
    config: loadConfig({ env: { ...env, ...more }, home: '/nonexistent', uid: 1000 }).config,
    prices: readPrices(),
    db: database.db,
    role,
    instanceId: uuid(),
    clock: { ...systemClock, now: () => now },
    log: silentLog,
    metrics: createMetrics(),
    racepoints: inertRacepoints,
    random: () => 0.5,
    newId: () => uuid(),
  });
}

async function dueAtOnce(): Promise<string[]> {
  const { rows } = await database.db.query<{ name: string }>(
    `select endpoint || ' ' || model as name from engram.model_breakers where reopens_at <= $1 order by name`,
    [now],
  );
  return rows.map(({ name }) => name);
}

it('the start of a daemon has those looked at again that its settings name', async () => {
  await open('daemon');
  expect(await dueAtOnce()).toEqual([
    `${own} mine`,
    `${own} mine for scores`,
    `${own} mine-small`,
    `${own} my-vectors`,
  ]);
});

it('a command changes nothing of how long an endpoint is left alone', async () => {
  await open('cli');
  expect(await dueAtOnce()).toEqual([]);
});

it('scores come from the model that decides, or from one of their own', async () => {
  const shared = await open('cli');
  expect(shared.scorer.scoredBy).toMatch(/^llm\/mine\/\d+$/);
  expect(shared.chats.map(({ model }) => model)).toEqual(['mine', 'mine-small']);
  const small = await open('cli', { ENGRAMD_LLM_MODEL_SIGNIFICANCE: 'mine-small' });
  expect(small.scorer.scoredBy).toMatch(/^llm\/mine-small\/\d+$/);
  expect(small.chats).toHaveLength(2);
  const own = await open('cli', { ENGRAMD_LLM_MODEL_SIGNIFICANCE: 'mine-tiny' });
  expect(own.chats.map(({ model }) => model)).toEqual(['mine', 'mine-small', 'mine-tiny']);
  expect((await open('cli', { ENGRAMD_DECIDER: 'rules' })).scorer.name).toBe('rules');
});
