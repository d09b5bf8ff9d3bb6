import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Queryable } from '../../src/db/database.ts';
import type { TransitionReason } from '../../src/lifecycle/states.ts';
import {
  finishInstance,
  insertInstance,
  parkInstance,
  touchInstance,
  unparkInstance,
} from '../../src/store/instances.ts';
import { acquireLeadership, releaseLeadership, renewLeadership } from '../../src/store/leader.ts';
import {
  claimTick,
  clearPause,
  forceSleep,
  type Move,
  moveState,
  readLife,
  setPause,
  wakeUp,
} from '../../src/store/lifecycle.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const ttlMs = 15_000;
let one: string;
let two: string;
beforeEach(async () => {
  const { db } = database;
  await db.query(
    `delete from engram.lifecycle_events; delete from engram.lifecycle; insert into engram.lifecycle default values;
     update engram.leader set instance_id = null, expires_at = null, acquired_at = null; delete from engram.instances`,
  );
  one = await newDaemon();
  two = await newDaemon();
});

async function newDaemon(): Promise<string> {
  const id = randomUUID();
  await insertInstance(database.db, { id, role: 'daemon', host: 'h', pid: 1, version: '0' });
  return id;
}

const life = () => readLife(database.db);

async function leads(instanceId: string): Promise<{ instanceId: string; fence: number }> {
  const lease = await acquireLeadership(database.db, instanceId, ttlMs);
  if (!lease) throw new Error('somebody else leads');
  return { instanceId, fence: lease.fence };
}

/** Times of the database as if so much of it had passed. */
const pass = (interval: string, columns: 'leader' | 'lifecycle') =>
  columns === 'leader'
    ? database.db.query('update engram.leader set expires_at = expires_at - $1::interval', [interval])
    : database.db.query(
        `update engram.lifecycle set since = since - $1::interval, woken_at = woken_at - $1::interval,
           sleep_forced_at = sleep_forced_at - $1::interval, honoured_force_at = honoured_force_at - $1::interval,
           paused_at = paused_at - $1::interval, paused_until = paused_until - $1::interval`,
        [interval],
      );

/** Moves by what is there now. */
async function move(
  term: { instanceId: string; fence: number },
  to: Move['to'],
  reason: TransitionReason = 'idle',
): Promise<number | null> {
  const { version, state } = await life();
  return moveState(database.db, { ...term, version, from: state, to, reason });
}

const events = async () =>
  (
    await database.db.query<{ from_state: string; to_state: string; reason: string; instance_id: string }>(
      'select from_state, to_state, reason, instance_id from engram.lifecycle_events order by id',
    )
  ).rows;

/** What is announced on the channel while `work` runs. */
async function announced(work: () => Promise<unknown>): Promise<string[]> {
  const client = new pg.Client({ connectionString: database.connectionString });
  await client.connect();
  try {
    const heard: string[] = [];
    client.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await client.query('listen engramd_life');
    await work();
    // Answered after all that was committed before it.
    await client.query('select 1');
    return heard;
  } finally {
    await client.end();
  }
}

/** Runs `second` into the locks of `first`, which commits when `second` waits for it. */
async function behind<A, B>(first: (tx: Queryable) => Promise<A>, second: () => Promise<B>): Promise<[A, B]> {
  const { db } = database;
  const isDone = Promise.withResolvers<void>();
  const isMet = Promise.withResolvers<void>();
  const committed = db.tx({ label: 'test' }, async (tx) => {
    const result = await first(tx);
    isDone.resolve();
    await isMet.promise;
    return result;
  });
  await isDone.promise;
  const answered = second();
  await vi.waitFor(async () => {
    const { rowCount } = await db.query(
      "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    expect(rowCount).toBe(1);
  }, 10_000);
  isMet.resolve();
  return [await committed, await answered];
}

describe('the lease on leading', () => {
  it('goes to exactly one of two who ask at once', async () => {
    const { db } = database;
    const [first, second] = await behind(
      (tx) => acquireLeadership(tx, one, ttlMs),
      () => acquireLeadership(db, two, ttlMs),
    );
    expect(second).toBeNull();
    expect((await life()).leader).toMatchObject({ instanceId: one, fence: first?.fence });
  });

  it('goes to exactly one of two who ask at once for one that is over', async () => {
    const { db } = database;
    const { fence } = await leads(await newDaemon());
    await pass('16 s', 'leader');
    const [first, second] = await behind(
      (tx) => acquireLeadership(tx, one, ttlMs),
      () => acquireLeadership(db, two, ttlMs),
    );
    expect([first, second]).toEqual([{ fence: fence + 1 }, null]);
  });

  it('keeps its fence while it is renewed, and gets one above it when it was over, free or another one had it', async () => {
    const { db } = database;
    const { fence } = await leads(one);
    expect(await leads(one)).toEqual({ instanceId: one, fence });
    expect(await renewLeadership(db, one, fence, ttlMs)).toBe(true);
    expect(await acquireLeadership(db, two, ttlMs)).toBeNull();
    await pass('16 s', 'leader');
    expect((await leads(one)).fence).toBe(fence + 1);
    await pass('16 s', 'leader');
    expect((await leads(two)).fence).toBe(fence + 2);
    await releaseLeadership(db, two, fence + 2);
    expect((await life()).leader).toBeNull();
    expect((await leads(one)).fence).toBe(fence + 3);
  });

  it('is not renewed and not released by one that lost it', async () => {
    const { db } = database;
    const lost = await leads(one);
    await pass('16 s', 'leader');
    expect(await renewLeadership(db, one, lost.fence, ttlMs)).toBe(false);
    const term = await leads(two);
    expect(await renewLeadership(db, one, lost.fence, ttlMs)).toBe(false);
    expect(await renewLeadership(db, two, lost.fence, ttlMs)).toBe(false);
    expect(await renewLeadership(db, one, term.fence, ttlMs)).toBe(false);
    await releaseLeadership(db, one, lost.fence);
    await releaseLeadership(db, one, term.fence);
    await releaseLeadership(db, two, lost.fence);
    expect((await life()).leader).toMatchObject(term);
  });

  it('reads as nobody leading once it is over', async () => {
    await leads(one);
    expect((await life()).leader?.expiresInSeconds).toBeGreaterThan(10);
    await pass('15 s', 'leader');
    expect((await life()).leader).toBeNull();
  });
});

describe('the fence', () => {
  const stale = { tick: 0, version: 0, from: 'wake', to: 'drowsy', reason: 'idle' } as const;

  it.each([
    ['claimTick', () => ({ ...stale, skipped: null }), claimTick, false],
    ['moveState', () => stale, moveState, null],
  ] as const)('of one whose lease is over, or taken over, is refused by %s', async (_, rest, write, refused) => {
    const { db } = database;
    const lost = await leads(one);
    await pass('16 s', 'leader');
    const before = await row();
    expect(await write(db, { ...rest(), ...lost } as never)).toBe(refused);
    const term = await leads(two);
    expect(await write(db, { ...rest(), ...lost } as never)).toBe(refused);
    expect(await write(db, { ...rest(), ...lost, instanceId: two } as never)).toBe(refused);
    expect(await write(db, { ...rest(), ...term, instanceId: one } as never)).toBe(refused);
    expect(await row()).toEqual(before);
    expect(await events()).toEqual([]);
    expect(await write(db, { ...rest(), ...term } as never)).not.toBe(refused);
  });

  const row = async () => (await database.db.query('select * from engram.lifecycle')).rows[0];
});

describe('ticks', () => {
  it('are claimed by one only, whoever asks with the same number', async () => {
    const { db } = database;
    const term = await leads(one);
    const claim = { ...term, tick: 0, skipped: null };
    const claims = await behind(
      (tx) => claimTick(tx, claim),
      () => claimTick(db, claim),
    );
    expect(claims).toEqual([true, false]);
    expect(await life()).toMatchObject({ tick: 1, tickedAt: expect.any(Date) });
    await pass('16 s', 'leader');
    const next = await leads(two);
    expect(await claimTick(db, { ...next, tick: 0, skipped: null })).toBe(false);
    expect(await claimTick(db, { ...next, tick: 1, skipped: null })).toBe(true);
  });

  it('say why they came to nothing until the next good one clears it', async () => {
    const { db } = database;
    const term = await leads(one);
    await claimTick(db, { ...term, tick: 0, skipped: 'paused' });
    expect((await life()).tickSkipped).toBe('paused');
    await claimTick(db, { ...term, tick: 1, skipped: null });
    expect((await life()).tickSkipped).toBeNull();
  });
});

describe('a move', () => {
  it('is told with its reason, and counted', async () => {
    const term = await leads(one);
    expect(await move(term, 'drowsy')).toBe(1);
    expect(await move(term, 'sleep', 'quiet_hours')).toBe(2);
    expect(await move(term, 'hibernation', 'forced_cycle_over')).toBe(3);
    expect(await wakeUp(database.db, { instanceId: two, reason: 'rows_by_sql' })).toBe('hibernation');
    expect(await life()).toMatchObject({ state: 'wake', version: 4, reason: 'rows_by_sql' });
    expect(await events()).toEqual([
      { from_state: 'wake', to_state: 'drowsy', reason: 'idle', instance_id: one },
      { from_state: 'drowsy', to_state: 'sleep', reason: 'quiet_hours', instance_id: one },
      { from_state: 'sleep', to_state: 'hibernation', reason: 'forced_cycle_over', instance_id: one },
      { from_state: 'hibernation', to_state: 'wake', reason: 'rows_by_sql', instance_id: two },
    ]);
  });

  it('decided by a row that has moved since comes to nothing', async () => {
    const { db } = database;
    const term = await leads(one);
    const { version } = await life();
    await move(term, 'drowsy');
    await wakeUp(db, { instanceId: two, reason: 'activity' });
    for (const from of ['wake', 'drowsy'] as const) {
      expect(await moveState(db, { ...term, version, from, to: 'drowsy', reason: 'idle' })).toBeNull();
    }
    expect((await life()).state).toBe('wake');
    expect(await events()).toHaveLength(2);
  });

  it('from another state than the one at hand comes to nothing', async () => {
    const term = await leads(one);
    const { version } = await life();
    expect(await moveState(database.db, { ...term, version, from: 'drowsy', to: 'sleep', reason: 'idle' })).toBeNull();
    expect(await events()).toEqual([]);
  });

  it('announces itself, and nothing that did not happen', async () => {
    const { db } = database;
    const term = await leads(one);
    expect(
      await announced(async () => {
        await move(term, 'drowsy');
        await wakeUp(db, { instanceId: one, reason: 'activity' });
        await wakeUp(db, { instanceId: one, reason: 'activity' });
        await moveState(db, { ...term, version: 0, from: 'wake', to: 'drowsy', reason: 'idle' });
        await forceSleep(db);
        await setPause(db, null);
        await clearPause(db);
        await clearPause(db);
      }),
    ).toEqual(['state', 'wake', 'force_sleep', 'pause', 'resume']);
  });
});

describe('waking', () => {
  it('needs no lease, no version, and happens once', async () => {
    const { db } = database;
    const term = await leads(one);
    await move(term, 'drowsy');
    await move(term, 'sleep');
    const woken = await behind(
      (tx) => wakeUp(tx, { instanceId: one, reason: 'activity' }),
      () => wakeUp(db, { instanceId: two, reason: 'activity' }),
    );
    expect(woken).toEqual(['sleep', null]);
    expect(await life()).toMatchObject({ state: 'wake', version: 3 });
    expect(await events()).toHaveLength(3);
  });

  it('starts the five seconds in which nothing moves towards sleep', async () => {
    const { db } = database;
    const term = await leads(one);
    await move(term, 'drowsy');
    await pass('1 h', 'lifecycle');
    expect((await life()).secondsSinceWoken).toBeGreaterThan(3599);
    await wakeUp(db, { instanceId: one, reason: 'activity' });
    expect((await life()).secondsSinceWoken).toBeLessThan(5);
  });

  it('by a request changes nothing where the daemon is awake; by name it begins the wait anew', async () => {
    const { db } = database;
    await pass('1 h', 'lifecycle');
    const before = await life();
    expect(await wakeUp(db, { instanceId: one, reason: 'activity' })).toBeNull();
    expect((await life()).version).toBe(before.version);
    expect(await wakeUp(db, { instanceId: one, reason: 'wake_command' })).toBe('wake');
    const after = await life();
    expect(after).toMatchObject({ state: 'wake', since: before.since, reason: 'first_start' });
    expect(after.secondsSinceWoken).toBeLessThan(5);
    expect(await events()).toEqual([]);
  });

  it('wins against a move towards sleep at the same time, whichever comes first', async () => {
    const { db } = database;
    const term = await leads(one);
    await move(term, 'drowsy');
    const fall = async () =>
      ({ ...term, version: (await life()).version, from: 'drowsy', to: 'sleep', reason: 'idle' }) as const;
    const asleep = await fall();
    const [moved, woken] = await behind(
      (tx) => moveState(tx, asleep),
      () => wakeUp(db, { instanceId: two, reason: 'activity' }),
    );
    expect([moved, woken]).toEqual([asleep.version + 1, 'sleep']);
    expect((await life()).state).toBe('wake');
    await move(term, 'drowsy');
    const late = await fall();
    const [first, second] = await behind(
      (tx) => wakeUp(tx, { instanceId: two, reason: 'activity' }),
      () => moveState(db, late),
    );
    expect([first, second]).toEqual(['drowsy', null]);
    expect((await life()).state).toBe('wake');
  });
});

describe('a forced sleep', () => {
  it('stays pending over restarts and drowsiness until SLEEP is reached, and does not fire again', async () => {
    const { db } = database;
    expect(await forceSleep(db)).toBe('wake');
    await pass('7 s', 'lifecycle');
    expect(await forceSleep(db)).toBe('wake');
    await finishInstance(db, one, 'SIGTERM');
    const term = await leads(await newDaemon());
    await move(term, 'drowsy', 'forced');
    expect((await life()).forceAgeSeconds).toBeGreaterThanOrEqual(7);
    expect((await life()).honouredForceAt).toBeNull();
    await move(term, 'sleep', 'forced');
    const asleep = await life();
    expect(asleep).toMatchObject({ forceAgeSeconds: null, honouredForceAt: asleep.since });
    await move(term, 'hibernation', 'forced_cycle_over');
    expect((await life()).honouredForceAt).toEqual(asleep.since);
    await wakeUp(db, { instanceId: two, reason: 'activity' });
    expect((await life()).honouredForceAt).toBeNull();
    await move(term, 'drowsy');
    await move(term, 'sleep');
    expect(await life()).toMatchObject({ forceAgeSeconds: null, honouredForceAt: null });
  });

  it('together with a wake by name: the wake wins, also against what was decided by the force', async () => {
    const { db } = database;
    const term = await leads(one);
    const [, woken] = await behind(
      (tx) => forceSleep(tx),
      () => wakeUp(db, { instanceId: two, reason: 'wake_command' }),
    );
    expect(woken).toBe('wake');
    expect(await life()).toMatchObject({ state: 'wake', forceAgeSeconds: null });
    await forceSleep(db);
    const { version } = await life();
    const [, moved] = await behind(
      (tx) => wakeUp(tx, { instanceId: two, reason: 'wake_signal' }),
      () => moveState(db, { ...term, version, from: 'wake', to: 'drowsy', reason: 'forced' }),
    );
    expect(moved).toBeNull();
    expect(await life()).toMatchObject({ state: 'wake', forceAgeSeconds: null });
  });

  it('is not called off by requests and rows, which would else keep it from ever being reached', async () => {
    const { db } = database;
    const term = await leads(one);
    await forceSleep(db);
    await move(term, 'drowsy', 'forced');
    for (const reason of ['activity', 'rows_by_sql'] as const) await wakeUp(db, { instanceId: two, reason });
    expect(await life()).toMatchObject({ state: 'wake', forceAgeSeconds: expect.any(Number) });
  });

  it('in SLEEP makes that a forced one, against what was decided before it', async () => {
    const { db } = database;
    const term = await leads(one);
    await move(term, 'drowsy');
    await move(term, 'sleep');
    const { version } = await life();
    expect(await forceSleep(db)).toBe('sleep');
    expect(await life()).toMatchObject({ forceAgeSeconds: null, honouredForceAt: expect.any(Date) });
    expect(await moveState(db, { ...term, version, from: 'sleep', to: 'hibernation', reason: 'idle' })).toBeNull();
  });

  it('in HIBERNATION is nothing, and says so', async () => {
    const { db } = database;
    const term = await leads(one);
    for (const to of ['drowsy', 'sleep', 'hibernation'] as const) await move(term, to);
    const before = await life();
    expect(await announced(async () => expect(await forceSleep(db)).toBe('hibernation'))).toEqual([]);
    expect(await life()).toMatchObject({ version: before.version, forceAgeSeconds: null, honouredForceAt: null });
  });
});

describe('a pause', () => {
  it('ends by itself, by the clock of the database', async () => {
    const { db } = database;
    const pause = await setPause(db, 60_000);
    expect((pause.until?.getTime() ?? 0) - pause.since.getTime()).toBe(60_000);
    expect((await life()).pause).toEqual(pause);
    await pass('61 s', 'lifecycle');
    expect((await life()).pause).toBeNull();
    expect(await clearPause(db)).toBe(false);
  });

  it('keeps its beginning when its end is moved, and none of an earlier pause that is over', async () => {
    const { db } = database;
    const first = await setPause(db, 60_000);
    expect(await setPause(db, null)).toEqual({ since: first.since, until: null });
    await pass('1 year', 'lifecycle');
    expect((await life()).pause?.until).toBeNull();
    expect(await clearPause(db)).toBe(true);
    expect((await life()).pause).toBeNull();
    await setPause(db, 1000);
    await pass('1 h', 'lifecycle');
    const later = await setPause(db, 1000);
    expect((await life()).now.getTime() - later.since.getTime()).toBeLessThan(60_000);
  });
});

describe('idleness', () => {
  const backDate = (id: string, column: 'started_at' | 'seen_at') =>
    column === 'started_at'
      ? database.db.query("update engram.instances set started_at = now() - interval '1 h' where id = $1", [id])
      : database.db.query("update engram.instances set seen_at = now() - interval '31 s' where id = $1", [id]);

  it('is counted from the last activity of any instance, in lengths: no clock of a machine counts', async () => {
    const { db } = database;
    for (const id of [one, two]) await backDate(id, 'started_at');
    expect(await life()).toMatchObject({ lastActivityAt: null });
    expect((await life()).idleSeconds).toBeGreaterThanOrEqual(3600);
    await touchInstance(db, one, { lastActivityAgeMs: 600_000, requestsInFlight: 0 });
    await touchInstance(db, two, { lastActivityAgeMs: 60_000, requestsInFlight: 0 });
    const { now, lastActivityAt, idleSeconds } = await life();
    expect(idleSeconds).toBeGreaterThanOrEqual(60);
    expect(idleSeconds).toBeLessThan(120);
    expect((now.getTime() - (lastActivityAt?.getTime() ?? 0)) / 1000).toBeCloseTo(idleSeconds, 1);
  });

  it('never moves back: not by a beat that knows less, nor by the death of the one that was asked', async () => {
    const { db } = database;
    for (const id of [one, two]) await backDate(id, 'started_at');
    await touchInstance(db, one, { lastActivityAgeMs: 60_000, requestsInFlight: 0 });
    await touchInstance(db, one, { lastActivityAgeMs: 600_000, requestsInFlight: 0 });
    await touchInstance(db, one);
    await finishInstance(db, one, 'SIGTERM');
    await touchInstance(db, one, { lastActivityAgeMs: 0, requestsInFlight: 1 });
    const { idleSeconds, requestsInFlight } = await life();
    expect(idleSeconds).toBeGreaterThanOrEqual(60);
    expect(idleSeconds).toBeLessThan(120);
    expect(requestsInFlight).toBe(0);
  });

  it('begins anew with the start of a daemon that lives, which would else hibernate before it serves', async () => {
    const { db } = database;
    for (const id of [one, two]) await backDate(id, 'started_at');
    await insertInstance(db, { id: randomUUID(), role: 'cli', host: 'h', pid: 1, version: '0' });
    const dead = await newDaemon();
    await backDate(dead, 'seen_at');
    const stopped = await newDaemon();
    await finishInstance(db, stopped, 'SIGTERM');
    expect((await life()).idleSeconds).toBeGreaterThanOrEqual(3600);
    await newDaemon();
    expect((await life()).idleSeconds).toBeLessThan(60);
  });

  it('requests in flight are those of all that live; one that is parked has none and lives', async () => {
    const { db } = database;
    await pass('1 h', 'lifecycle');
    await touchInstance(db, one, { lastActivityAgeMs: null, requestsInFlight: 2 });
    await touchInstance(db, two, { lastActivityAgeMs: null, requestsInFlight: 3 });
    expect((await life()).requestsInFlight).toBe(5);
    await backDate(two, 'seen_at');
    expect((await life()).requestsInFlight).toBe(2);
    await parkInstance(db, one);
    await parkInstance(db, two);
    expect((await life()).requestsInFlight).toBe(0);
    await backDate(one, 'started_at');
    await backDate(one, 'seen_at');
    await backDate(two, 'seen_at');
    // Not heard of, parked, and so its start still counts.
    expect((await life()).idleSeconds).toBeLessThan(60);
    await unparkInstance(db, one);
    const { rows } = await db.query<{ is_seen: boolean; parked_at: Date | null }>(
      "select seen_at > now() - interval '10 s' as is_seen, parked_at from engram.instances where id = $1",
      [one],
    );
    expect(rows).toEqual([{ is_seen: true, parked_at: null }]);
  });
});
