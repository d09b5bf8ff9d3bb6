import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { type ApiFixture, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
beforeAll(async () => {
  const db = createDatabase({
    // Nothing listens on port 1.
    connectionString: 'postgres://nobody:hunter2@127.0.0.1:1/nothing',
    poolMax: 2,
    applicationName: 'test',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  fixture = await createApiFixture({ db });
});
afterAll(() => fixture.close());

test('without a database requests are told to come back, and nothing of how it is reached', async () => {
  const responses = [
    await fixture.get('/v1/banks'),
    await fixture.post('/v1/banks/b/memories', { text: 'x' }),
    await fixture.post('/v1/banks/b/recall', { query: 'x' }),
  ];
  for (const response of responses) {
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '5']);
    expect(response.json()).toEqual({
      error: { code: 'DATABASE_UNAVAILABLE', message: 'the database does not answer; try again' },
    });
  }
});

test('without a database status tells what the process knows, and that nothing was read', async () => {
  const response = await fixture.get('/v1/status');
  expect(response.statusCode).toBe(200);
  expect(response.json()).toMatchObject({ condition: 'ready', facts_at: null });
});

test('without a database the process is alive, not ready, and still measured', async () => {
  expect((await fixture.get('/healthz')).statusCode).toBe(200);
  expect((await fixture.get('/readyz')).statusCode).toBe(503);
  const metrics = await fixture.get('/metrics');
  expect([metrics.statusCode, metrics.body.includes('hunter2')]).toEqual([200, false]);
});
