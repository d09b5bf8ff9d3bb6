import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DatabaseClosedError } from '../../src/db/errors.ts';
import { type Listener, type ListenerDeps, startListener } from '../../src/db/listener.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { startCutProxy } from '../support/cut-proxy.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
const started: Listener[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((listener) => listener.stop()));
  await expect.poll(async () => (await sessions()).length).toBe(0);
});
afterAll(() => database.drop());

const applicationName = 'engramd-test-listener';

interface Heard {
  readonly listener: Listener;
  /** What came, in order: `channel:payload`, or `listening`. */
  readonly heard: string[];
  /** Every pause before a connection. */
  readonly pauses: number[];
}

function listen(overrides: Partial<ListenerDeps> = {}): Heard {
  const heard: string[] = [];
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep(ms, signal) {
      // The bound of a goodbye is no pause.
      if (ms !== 500) pauses.push(ms);
      return systemClock.sleep(Math.min(ms, 500), signal);
    },
  };
  const listener = startListener({
    connectionString: database.connectionString,
    applicationName,
    channels: ['engramd_work', 'Quoted "name"'],
    onNotify: (channel, payload) => heard.push(`${channel}:${payload}`),
    onListening: () => heard.push('listening'),
    log: silentLog,
    clock,
    random: () => 0.04,
    ...overrides,
  });
  started.push(listener);
  return { listener, heard, pauses };
}

const notify = (channel: string, payload: string) => database.db.query('select pg_notify($1, $2)', [channel, payload]);

async function sessions(): Promise<{ pid: number; state: string; state_change: Date; query: string }[]> {
  const { rows } = await database.db.query<{ pid: number; state: string; state_change: Date; query: string }>(
    'select pid, state, state_change, query from pg_stat_activity where application_name = $1',
    [applicationName],
  );
  return rows;
}

const kill = () =>
  database.db.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
    applicationName,
  ]);

test('hears what others say on its channels, and nothing else', async () => {
  const { listener, heard } = listen();
  await listener.ready;
  expect(listener.isConnected()).toBe(true);
  await notify('engramd_other', 'x');
  await notify('engramd_work', 'a');
  await notify('Quoted "name"', '');
  await expect.poll(() => heard).toEqual(['listening', 'engramd_work:a', 'Quoted "name":']);
});

test('asks nothing while nothing happens, and a server that ends idle sessions leaves it alone', async () => {
  await database.db.query(
    `do $$ begin execute format('alter database %I set idle_session_timeout = 100', current_database()); end $$`,
  );
  const { listener, heard } = listen();
  await listener.ready;
  const before = await sessions();
  await notify('engramd_work', 'a');
  await expect.poll(() => heard).toEqual(['listening', 'engramd_work:a']);
  // Three times as long as an idle session of this database has.
  await database.db.query('select pg_sleep(0.3)');
  expect(await sessions()).toEqual(before);
  expect(before).toMatchObject([{ state: 'idle' }]);
  expect(heard).toEqual(['listening', 'engramd_work:a']);
  await database.db.query(
    `do $$ begin execute format('alter database %I reset idle_session_timeout', current_database()); end $$`,
  );
});

test('what is said before it listens is said to nobody: that it listens is told also the first time', async () => {
  const { listener, heard } = listen({
    admit: async () => {
      await notify('engramd_work', 'lost');
      return null;
    },
  });
  await listener.ready;
  await notify('engramd_work', 'a');
  await expect.poll(() => heard).toEqual(['listening', 'engramd_work:a']);
});

test('whose session is ended connects again, and says so once each time', async () => {
  const { listener, heard, pauses } = listen();
  await listener.ready;
  await kill();
  await expect.poll(() => heard).toEqual(['listening', 'listening']);
  await notify('engramd_work', 'a');
  await expect.poll(() => heard).toEqual(['listening', 'listening', 'engramd_work:a']);
  await kill();
  await expect.poll(() => heard).toEqual(['listening', 'listening', 'engramd_work:a', 'listening']);
  // A connection that does not last counts as a failure: the pauses grow.
  expect(pauses).toEqual([10, 20]);
});

test('of a server that is away tries again with pauses that grow, and listens when it is back', async () => {
  const proxy = await startCutProxy(database.connectionString);
  const { listener, heard, pauses } = listen({ connectionString: proxy.connectionString });
  try {
    await listener.ready;
    await proxy.cut();
    await expect.poll(() => pauses.length).toBeGreaterThanOrEqual(4);
    expect(pauses.slice(0, 4)).toEqual([10, 20, 40, 80]);
    expect(listener.isConnected()).toBe(false);
    await proxy.mend();
    await expect.poll(() => heard).toEqual(['listening', 'listening']);
    await notify('engramd_work', 'a');
    await expect.poll(() => heard).toEqual(['listening', 'listening', 'engramd_work:a']);
  } finally {
    await proxy.close();
  }
});

test('pauses half a minute at most', async () => {
  const pauses: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep(ms) {
      if (ms !== 500) pauses.push(ms);
      return systemClock.sleep(0);
    },
  };
  const { listener } = listen({ connectionString: 'postgresql://127.0.0.1:1/nobody', clock, random: () => 0.8 });
  await expect.poll(() => pauses.length).toBeGreaterThanOrEqual(9);
  expect(pauses.slice(0, 9)).toEqual([200, 400, 800, 1600, 3200, 6400, 12_800, 24_000, 24_000]);
  // Whoever waits for the first time is let go.
  await listener.stop();
  await listener.ready;
});

test('survives a listener that throws', async () => {
  let calls = 0;
  const { listener } = listen({
    onNotify: () => {
      calls += 1;
      throw new Error('on purpose');
    },
  });
  await listener.ready;
  await notify('engramd_work', 'a');
  await notify('engramd_work', 'b');
  await expect.poll(() => calls).toBe(2);
  expect(listener.isConnected()).toBe(true);
});

test('stops although the network is gone and nobody answers its goodbye', async () => {
  const proxy = await startCutProxy(database.connectionString);
  const { listener } = listen({ connectionString: proxy.connectionString });
  try {
    await listener.ready;
    proxy.freeze();
    await listener.stop();
    expect(listener.isConnected()).toBe(false);
  } finally {
    await proxy.close();
  }
});

test('keeps what it was admitted with for as long as its session stands', async () => {
  const admit = async (session: { query(text: string): Promise<unknown> }) => {
    await session.query('select pg_advisory_lock_shared(4711)');
    return null;
  };
  const { listener, heard } = listen({ admit });
  await listener.ready;
  const isHeld = async () => {
    const { rows } = await database.db.query<{ taken: boolean }>('select pg_try_advisory_xact_lock(4711) as taken');
    return rows[0]?.taken === false;
  };
  expect(await isHeld()).toBe(true);
  await kill();
  await expect.poll(() => heard).toEqual(['listening', 'listening']);
  expect(await isHeld()).toBe(true);
  await listener.stop();
  await expect.poll(isHeld).toBe(false);
});

test('that is refused hears nothing, connects no more and says why, once', async () => {
  const refusal = new DatabaseClosedError();
  const refused: unknown[] = [];
  let asked = 0;
  const { listener, heard } = listen({
    admit: async () => {
      asked += 1;
      return asked === 1 ? null : refusal;
    },
    onRefused: (error) => refused.push(error),
  });
  await listener.ready;
  await kill();
  await expect.poll(() => refused).toEqual([refusal]);
  await expect.poll(async () => (await sessions()).length).toBe(0);
  await listener.stop();
  expect([heard, refused, asked]).toEqual([['listening'], [refusal], 2]);
});

test('whose question whether it is admitted fails asks again, like any other that cannot connect', async () => {
  let asked = 0;
  const { listener } = listen({
    admit: async (session) => {
      asked += 1;
      if (asked === 1) await session.query('select 1 / 0');
      return null;
    },
  });
  await listener.ready;
  expect([asked, listener.isConnected()]).toEqual([2, true]);
});
