import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLeadership, type Leadership } from '../../../src/daemon/life/leadership.ts';
import { insertInstance } from '../../../src/store/instances.ts';
import type { Clock } from '../../../src/telemetry/clock.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';

let database: TestDatabase;
let nowMs = 0;
const running: Leadership[] = [];
/** A process that is not scheduled: its clock goes on, and none of its timers does. */
const stoppedTimers: Clock = {
  now: () => new Date(nowMs),
  monotonicMs: () => nowMs,
  sleep: (_, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
};

beforeEach(async () => {
  database = await createTestDatabase();
  nowMs = 0;
});
afterEach(async () => {
  for (const leadership of running.splice(0)) await leadership.stop();
  await database.drop();
});

async function candidate(): Promise<{ leadership: Leadership; elections: () => number }> {
  const id = uuid();
  let elections = 0;
  await insertInstance(database.db, { id, role: 'daemon', host: 'test', pid: 1, version: '0' });
  const leadership = createLeadership({
    db: database.db,
    instanceId: id,
    clock: stoppedTimers,
    log: silentLog,
    metrics: createMetrics(),
    onElected: () => {
      elections += 1;
    },
  });
  running.push(leadership);
  return { leadership, elections: () => elections };
}

it('does nothing in the name of a lease that may have run out by its own clock, however late it looks', async () => {
  const { leadership } = await candidate();
  await leadership.start();
  const term = leadership.term();
  expect(term).toMatchObject({ fence: 1 });
  nowMs = 14_999;
  expect(leadership.term()).toEqual(term);
  expect(term?.over.aborted).toBe(false);
  nowMs = 15_000;
  expect(leadership.term()).toBeNull();
  expect(term?.over.aborted).toBe(true);
});

it('has one leader, who gives the lease back at a stop: the next one need not wait', async () => {
  const [one, other] = [await candidate(), await candidate()];
  await one.leadership.start();
  await other.leadership.start();
  expect([one.elections(), other.elections()]).toEqual([1, 0]);
  expect(other.leadership.term()).toBeNull();
  const term = one.leadership.term();
  await one.leadership.stop();
  expect(term?.over.aborted).toBe(true);
  await other.leadership.stop();
  await other.leadership.start();
  expect(other.leadership.term()).toMatchObject({ fence: 2 });
});

it('does not keep a lease that it was given while it stopped', async () => {
  const { leadership } = await candidate();
  const starting = leadership.start();
  await Promise.all([starting, leadership.stop()]);
  const { rows } = await database.db.query<{ instance_id: string | null }>('select instance_id from engram.leader');
  expect(rows).toEqual([{ instance_id: null }]);
});
