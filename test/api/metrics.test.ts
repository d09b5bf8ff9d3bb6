import { afterAll, beforeAll, expect, test } from 'vitest';
import { createStoreGauges } from '../../src/api/store-gauges.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { type ApiFixture, createApiFixture, noJobs } from './api-fixture.ts';

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await createApiFixture();
});
afterAll(() => fixture.close());

test('requests are counted by template and class, whatever is asked for', async () => {
  await fixture.post('/v1/banks/secret-name/memories', { text: 'x' });
  for (const url of ['/v1/banks/a', '/v1/banks/b', '/v1/banks/c%20d', '/wp-admin.php', '/v1/x/y'])
    await fixture.get(url);
  const response = await fixture.get('/metrics');
  expect(response.headers['content-type']).toMatch(/^text\/plain; version=0.0.4/);
  expect(response.body).toContain('engramd_http_requests_total{route="/v1/banks/{bank}",method="GET",status="4xx"} 3');
  expect(response.body).toContain('engramd_http_requests_total{route="unmatched",method="GET",status="4xx"} 2');
  expect(response.body).toContain(
    'engramd_http_requests_total{route="/v1/banks/{bank}/memories",method="POST",status="2xx"} 1',
  );
  expect(response.body).not.toMatch(/secret-name|wp-admin/);
});

test('the store and the pool are shown', async () => {
  const { body } = await fixture.get('/metrics');
  expect(body).toContain('engramd_pool_connections{state="waiting"} 0');
  expect(body).toMatch(/engramd_memories\{state="parked"\} 0/);
  expect(body).toContain('engramd_build_info{version="0.0.0"} 1');
  expect(body).toMatch(/engramd_gauges_timestamp_seconds [1-9]/);
});

test('had no depth or latency metric: what waits for its score and for how long, and pins over the cap, are shown', async () => {
  const scored = await createApiFixture({
    settings: { pinCap: 2 },
    significance: { readyAt: async () => new Date('2026-03-05T00:00:00Z') },
  });
  try {
    for (const bank of ['a', 'b']) {
      await scored.db.query('insert into engram.banks (id) values ($1)', [bank]);
      await scored.db.query(
        `insert into engram.memories (bank_id, id, text, created_at, scored_version, significance, pin, pinned_at)
         select $1, gen_random_uuid(), 'text', now(), 1, 3, 'manual', now() from generate_series(1, 3)`,
        [bank],
      );
    }
    await scored.db.query(
      `insert into engram.memories (bank_id, id, text, created_at, score_next_at, score_due_at, score_parked)
       values ('a', gen_random_uuid(), 'waits', now(), now() - interval '1 hour', now() - interval '1 hour', null),
         ('a', gen_random_uuid(), 'rests', now(), now() + interval '1 hour', now() - interval '1 minute', null),
         ('a', gen_random_uuid(), 'old', now() - interval '1 year', now(), now(), null),
         ('a', gen_random_uuid(), 'given up', now(), now(), now() - interval '1 day', 'a score of 7')`,
    );
    const { body } = await scored.get('/metrics');
    expect(body).toContain('engramd_memories_unscored 3');
    expect(Number(/^engramd_oldest_unscored_seconds (\S+)/m.exec(body)?.[1])).toBeCloseTo(3600, -2);
    expect(body).toContain('engramd_pins{pin="manual"} 6');
    expect(body).toContain('engramd_pins{pin="auto"} 0');
    expect(body).toContain('engramd_pins_over_cap 2');
    expect(body).toContain('engramd_score_wait_seconds_bucket');
    expect(body).toContain('engramd_work_resting{work="scores"} 1');
    expect(body).toContain('engramd_work_resting{work="memories"} 0');
    expect((await scored.get('/v1/status')).json()).toMatchObject({
      unscored: 3,
      oldest_unscored_seconds: expect.closeTo(3600, -2),
      scores_parked: 1,
      waits_until: null,
      scores_wait_until: '2026-03-05T00:00:00.000Z',
      pins: { manual: 6, auto: 0, over_cap: 2 },
      queue: { score: { ready: 0, delayed: 0, active: 0 } },
    });
  } finally {
    await scored.close();
  }
});

test('however many scrape, the store is read at most every 10 s', async () => {
  let now = 50_000;
  let reads = 0;
  const db = {
    ...fixture.db,
    query: ((text: string, values?: readonly unknown[]) => {
      reads += 1;
      return fixture.db.query(text, values);
    }) as typeof fixture.db.query,
  };
  const clock = { now: () => new Date(), monotonicMs: () => now, sleep: () => new Promise<void>(() => undefined) };
  const queue = { ...fixture.deps.queue, snapshot: async () => noJobs };
  const gauges = createStoreGauges({ ...fixture.deps, db, queue, metrics: createMetrics(), clock, log: silentLog });
  const refresh = () => gauges.refresh({ mayRead: true });
  await Promise.all([refresh(), refresh(), refresh()]);
  now += 9_999;
  await refresh();
  const once = reads;
  expect(once).toBeGreaterThan(0);
  now += 1;
  await refresh();
  expect(reads).toBe(2 * once);
});

test('a database that hangs holds up neither a scrape nor readiness nor status', async () => {
  const never = new Promise<never>(() => undefined);
  const hanging = await createApiFixture({
    db: {
      query: () => never,
      tx: () => never,
      pinStore: () => undefined,
      poolCounts: () => ({ used: 1, idle: 0, waiting: 9 }),
      rest: async () => undefined,
      rouse: () => undefined,
      close: async () => undefined,
    },
    // Time passes at once.
    clock: { now: () => new Date(), monotonicMs: () => 60_000, sleep: async () => undefined },
  });
  try {
    expect((await hanging.get('/metrics')).body).toContain('engramd_pool_connections{state="waiting"} 9');
    const status = await hanging.get('/v1/status');
    expect([status.statusCode, status.json().facts_at]).toEqual([200, null]);
    const ready = await hanging.get('/readyz');
    expect([ready.statusCode, ready.json()]).toEqual([503, { status: 'database does not answer' }]);
  } finally {
    await hanging.close();
  }
});

const samplesOf = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

test('what nobody has read is not in a scrape: no 0 that is no finding', async () => {
  const metrics = createMetrics();
  const samples = samplesOf(await metrics.registry.metrics()).join('\n');
  for (const name of [
    'gauges_timestamp_seconds',
    'memories',
    'memories_due',
    'oldest_due_seconds',
    'observations',
    'dead_letters',
    'model_breaker_open',
    'budget_left_ratio',
    'activity_timestamp_seconds',
    'tick_timestamp_seconds',
    'sleep_cycles_started',
    'sleep_cycles_completed',
    'last_clean_cycle_timestamp_seconds',
  ])
    expect(samples, name).not.toMatch(new RegExp(`^engramd_${name}\\b`, 'm'));
  metrics.oldestDueSeconds.set(0);
  expect(samplesOf(await metrics.registry.metrics())).toContain('engramd_oldest_due_seconds 0');
});

test('a parked daemon shows its pool as it is, and of the store what it has read: at first nothing', async () => {
  let isParked = true;
  let used = 2;
  let reads = 0;
  const parked = await createApiFixture({
    life: { view: () => ({ isParked }) } as never,
    db: {
      ...fixture.db,
      query: ((text: string, values?: readonly unknown[]) => {
        reads += 1;
        return fixture.db.query(text, values);
      }) as typeof fixture.db.query,
      poolCounts: () => ({ used, idle: 0, waiting: 0 }),
    },
    metrics: createMetrics(),
  });
  try {
    const first = samplesOf((await parked.get('/metrics')).body);
    expect(first).toContain('engramd_pool_connections{state="used"} 2');
    expect(first.filter((line) => /oldest_due|dead_letters|observations|memories/.test(line))).toEqual([]);
    used = 0;
    expect(samplesOf((await parked.get('/metrics')).body)).toContain('engramd_pool_connections{state="used"} 0');
    expect(reads).toBe(0);
    isParked = false;
    expect((await parked.get('/metrics')).body).toMatch(/^engramd_oldest_due_seconds \d/m);
    expect(reads).toBeGreaterThan(0);
  } finally {
    await parked.close();
  }
});
