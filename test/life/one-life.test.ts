import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { markUnsupported } from '../../src/store/integrity.ts';
import { forceSleep, setPause, wakeUp } from '../../src/store/lifecycle.ts';
import { postponeReplan } from '../../src/store/replan-work.ts';
import { createLifeRig, type LifeRig, noWork } from '../daemon/life/life-rig.ts';

let rig: LifeRig;
beforeEach(async () => {
  rig = await createLifeRig();
});
afterEach(() => rig.close());

const cold = false;
const until = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 10_000, interval: 20 });
const stateIs = (state: string) => until(async () => expect((await rig.row()).state).toBe(state));
const soonParked = { drowsyAfterSeconds: 0.05, sleepAfterSeconds: 1, hibernateAfterSeconds: 2, hibernates: true };
const hibernate = () => rig.database.db.query("update engram.lifecycle set state = 'hibernation', since = now()");
const asleep = async () => {
  await rig.idleFor(1800);
  await stateIs('sleep');
};

/** By plain SQL, and said to nobody here. */
async function remembered(): Promise<void> {
  const { db } = rig.database;
  await db.query("insert into engram.banks (id) values ('b') on conflict do nothing");
  await db.query("insert into engram.memories (bank_id, id, text) values ('b', gen_random_uuid(), 'a text')");
}

/** An observation without any evidence. */
async function observed(options: { replanDue: boolean }): Promise<string> {
  const { rows } = await rig.database.db.query<{ id: string }>(
    `with model as (
       insert into engram.embedding_models (id, provider, dimensions, is_active) values ('m', 'fake', 2, true)
       on conflict (id) do update set provider = 'fake' returning id)
     insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, needs_replan_at)
     select 'b', gen_random_uuid(), 't', '{}', '{1,0}', id, 0, case when $1 then now() - interval '1 hour' end
     from model returning id`,
    [options.replanDue],
  );
  return rows[0]?.id ?? '';
}

describe('the way down', () => {
  it('goes one state at a time, each with its reason, runs the cycle in SLEEP and parks behind it', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    await asleep();
    await until(() => expect(daemon.cycle.runs).toHaveLength(1));
    expect(daemon.isHandingOut()).toBe(false);
    expect(daemon.cycle.runs[0]).toMatchObject({ trigger: 'idle' });
    daemon.cycle.end('clean');
    await rig.idleFor(7200);
    await stateIs('hibernation');
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.did).toContain('releases');
    expect(await rig.transitions()).toEqual([
      'wake → drowsy: idle',
      'drowsy → sleep: idle',
      'sleep → hibernation: idle',
    ]);
    const { rows } = await rig.database.db.query<{ n: number }>(
      'select count(*)::int as n from pg_stat_activity where application_name = $1',
      [`life ${daemon.id}`],
    );
    expect(rows).toEqual([{ n: 0 }]);
  });

  it('takes an error for unknown, not for empty: the tick goes on and says so, and the next good one clears it', async () => {
    const daemon = await rig.daemon();
    daemon.work = new Error('could not be counted');
    await daemon.life.start(cold);
    await rig.idleFor(3600);
    await stateIs('drowsy');
    await until(() => expect(daemon.life.view()).toMatchObject({ skipped: 'unknown_work', heldBy: 'unknown_work' }));
    expect((await rig.row()).tickSkipped).toBe('unknown_work');
    expect(rig.logged.join('')).toContain('does not count as nothing');
    daemon.work = noWork;
    daemon.nudge();
    await stateIs('sleep');
    await until(async () => expect((await rig.row()).tickSkipped).toBeNull());
  });

  it('stays awake while there is work, and while jobs are in hand', async () => {
    const daemon = await rig.daemon();
    daemon.work = { rows: 3, jobsActive: 0, nextAt: null };
    await daemon.life.start(cold);
    await rig.idleFor(3600);
    await stateIs('drowsy');
    await until(() => expect(daemon.life.view().heldBy).toBe('work_to_do'));
    daemon.work = { rows: 0, jobsActive: 1, nextAt: null };
    daemon.nudge();
    await until(() => expect(daemon.life.view().heldBy).toBe('jobs_active'));
    daemon.work = noWork;
    daemon.nudge();
    await stateIs('sleep');
  });

  it('never begins a night under a running drain: what another daemon has in hand is waited for', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    // A job that was fetched between the look and the move.
    daemon.races.at('life:before-transition', () => {
      daemon.work = { rows: 0, jobsActive: 1, nextAt: null };
    });
    await asleep();
    let looks = 0;
    await until(() => {
      looks += 1;
      expect(looks).toBeGreaterThan(20);
    });
    expect(daemon.cycle.runs).toEqual([]);
    daemon.work = noWork;
    await until(() => expect(daemon.cycle.runs).toHaveLength(1));
  });

  it('hands the next tick over, and runs none twice', async () => {
    const [one, other] = [await rig.daemon(), await rig.daemon()];
    await one.life.start(cold);
    await other.life.start(cold);
    for (let look = 0; look < 10; look += 1) {
      one.nudge();
      other.nudge();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(() => expect(one.life.view().leader).toEqual({ instanceId: one.id, isSelf: true }));
    await until(() => expect(other.life.view().leader).toEqual({ instanceId: one.id, isSelf: false }));
    await one.life.stop();
    const { tick } = await rig.row();
    await until(() => {
      other.nudge();
      expect(other.life.view().leader?.isSelf).toBe(true);
    });
    await until(async () => expect((await rig.row()).tick).toBeGreaterThan(tick));
  });
});

describe('who comes', () => {
  it('in SLEEP wakes it: the cycle is interrupted and jobs are handed out again', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    const release = daemon.life.activity.begin('/v1/recall');
    expect(daemon.cycle.runs[0]?.signal.aborted).toBe(true);
    await stateIs('wake');
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    release();
    expect((await rig.transitions()).at(-1)).toBe('sleep → wake: activity');
  });

  it('while it parks turns it round', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    daemon.cycle.end('clean');
    daemon.races.at('park:released', () => daemon.life.activity.begin('/v1/recall')());
    await rig.idleFor(7200);
    await until(() => expect(daemon.did).toContain('restores'));
    await stateIs('wake');
    expect(daemon.life.isParked()).toBe(false);
  });

  it.each([
    ['a request', 'activity', (daemon: Awaited<ReturnType<LifeRig['daemon']>>) => daemon.life.activity.begin('/')()],
    [
      'rows by SQL',
      'rows_by_sql',
      (daemon: Awaited<ReturnType<LifeRig['daemon']>>) => daemon.life.heard('engramd_work', 'a'),
    ],
    [
      'the command',
      'wake_command',
      (daemon: Awaited<ReturnType<LifeRig['daemon']>>) => void daemon.life.control.wake(null),
    ],
  ])('%s wakes what is parked', async (_, reason, come) => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: soonParked });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    come(daemon);
    await stateIs('wake');
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    expect(daemon.life.isParked()).toBe(false);
    expect(daemon.did).toEqual(expect.arrayContaining(['releases', 'restores', 'opens']));
    expect(daemon.did.includes('hint a')).toBe(reason === 'rows_by_sql');
    expect((await rig.transitions())[0]).toMatch(new RegExp(`hibernation → wake: (${reason}|activity)`));
  });

  it('to one daemon wakes the other one, which was told', async () => {
    const [one, other] = [await rig.daemon(), await rig.daemon()];
    await one.life.start(cold);
    await other.life.start(cold);
    await asleep();
    other.nudge();
    await until(() => expect(other.isHandingOut()).toBe(false));
    one.life.activity.begin('/v1/recall')();
    await stateIs('wake');
    other.life.heard('engramd_life', 'wake');
    await until(() => expect(other.isHandingOut()).toBe(true));
  });
});

describe('what is not seen at once', () => {
  it('a request between the decision and the move keeps it where it is', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    const held = daemon.races.hold('life:before-transition');
    await rig.idleFor(600);
    await held.reached;
    daemon.life.activity.begin('/v1/recall')();
    held.release();
    daemon.nudge();
    await until(() => expect(daemon.life.view().heldBy).toBe('idle_wait'));
    expect(await rig.transitions()).toEqual([]);
  });

  it('a request of a moment before, which whoever moved the row had not heard of, wakes', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    daemon.life.activity.begin('/v1/recall')();
    await rig.database.db.query("update engram.lifecycle set state = 'sleep', since = now(), version = version + 1");
    daemon.nudge();
    await stateIs('wake');
    expect(await rig.transitions()).toEqual(['sleep → wake: activity']);
  });

  it('a wake that is heard while parking turns it round', async () => {
    const releasing = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    await hibernate();
    const daemon = await rig.daemon({
      thresholds: soonParked,
      parts: (leadership) => [
        leadership,
        {
          name: 'slow',
          async release() {
            releasing.resolve();
            await held.promise;
          },
        },
      ],
    });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await releasing.promise;
    await wakeUp(rig.database.db, { instanceId: daemon.id, reason: 'wake_command' });
    daemon.life.heard('engramd_life', 'wake');
    held.resolve();
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    expect(daemon.life.isParked()).toBe(false);
  });

  it('rows that came while nobody listened wake when the listener is back; without any it stays parked', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: soonParked });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    daemon.life.missed();
    const { db } = rig.database;
    const connections = () =>
      db
        .query<{ n: number }>('select count(*)::int as n from pg_stat_activity where application_name = $1', [
          `life ${daemon.id}`,
        ])
        .then(({ rows }) => rows[0]?.n);
    await until(async () => expect(await connections()).toBe(0));
    expect(daemon.life.isParked()).toBe(true);
    await remembered();
    daemon.life.missed();
    await stateIs('wake');
    expect(await rig.transitions()).toEqual(['hibernation → wake: rows_by_sql']);
  });

  it('rows that came while nobody listened wake what sleeps and is not parked; what waits or the night does, does not', async () => {
    const daemon = await rig.daemon();
    await remembered();
    const postponed = await observed({ replanDue: true });
    await observed({ replanDue: false });
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    const { db } = rig.database;
    await postponeReplan(db, 'b', { id: postponed, version: 1, restMs: 3_600_000 });
    expect(await markUnsupported(db, 'b')).toBeGreaterThan(0);
    daemon.life.missed();
    const { tick } = await rig.row();
    await until(async () => expect((await rig.row()).tick).toBeGreaterThan(tick));
    expect((await rig.row()).state).toBe('sleep');
    await remembered();
    daemon.life.missed();
    await stateIs('wake');
    expect((await rig.transitions()).at(-1)).toBe('sleep → wake: rows_by_sql');
    expect(daemon.cycle.runs[0]?.signal.aborted).toBe(true);
  });

  it.each(['drowsy', 'sleep'])(
    'what another daemon did to the state while nobody listened, %s, is known before rows are judged by it',
    async (state) => {
      const daemon = await rig.daemon();
      await daemon.life.start(cold);
      await until(() => expect(daemon.life.view().leader?.isSelf).toBe(true));
      await rig.database.db.query('update engram.lifecycle set state = $1, since = now(), version = version + 1', [
        state,
      ]);
      await remembered();
      daemon.life.missed();
      await until(async () => expect((await rig.transitions()).at(-1)).toBe(`${state} → wake: rows_by_sql`));
    },
  );

  it('a listener that is there before the start wakes nobody: the start looks', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: soonParked });
    await remembered();
    daemon.life.missed();
    await daemon.life.start(cold);
    await stateIs('wake');
    expect(await rig.transitions()).toEqual(['hibernation → wake: demand_at_boot']);
  });

  it('a listener that outlives its daemon asks nothing', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await daemon.life.stop();
    await remembered();
    await daemon.db.rest();
    daemon.life.missed();
    await new Promise(setImmediate);
    expect(daemon.db.poolCounts()).toMatchObject({ used: 0, idle: 0, waiting: 0 });
    await daemon.db.close();
    expect((await rig.row()).state).toBe('sleep');
  });

  it('a request that is being answered is not parked over', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: { ...soonParked, drowsyAfterSeconds: 0.3 } });
    daemon.cycle.lastCleanAt = new Date();
    // Its wake cannot be told yet.
    const lock = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = rig.database.db.tx({ label: 'hold' }, async (tx) => {
      await tx.query('select from engram.lifecycle for update');
      locked.resolve();
      await lock.promise;
    });
    await locked.promise;
    await daemon.life.start(cold);
    const release = daemon.life.activity.begin('/v1/recall');
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(daemon.life.isParked()).toBe(false);
    lock.resolve();
    await holding;
    release();
    await stateIs('wake');
  });
});

describe('without hibernation', () => {
  it('a row that hibernates is not parked for', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: { ...soonParked, hibernates: false } });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    const { tick } = await rig.row();
    await until(async () => {
      daemon.nudge();
      expect((await rig.row()).tick).toBeGreaterThan(tick + 3);
    });
    expect(daemon.life.isParked()).toBe(false);
    expect(daemon.did).not.toContain('releases');
  });
});

describe('a start in HIBERNATION', () => {
  const hibernating = () =>
    rig.database.db.query("update engram.lifecycle set state = 'hibernation', since = now() - interval '1 h'");

  it('serves before it hibernates again: it waits for somebody first', async () => {
    await hibernating();
    const daemon = await rig.daemon();
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    daemon.nudge();
    await until(() => expect(daemon.life.view().lastTickAt).not.toBeNull());
    expect(daemon.life.isParked()).toBe(false);
    expect((await rig.row()).state).toBe('hibernation');
    expect(daemon.isHandingOut()).toBe(false);
  });

  it('wakes for the wake signal', async () => {
    await hibernating();
    const daemon = await rig.daemon();
    await daemon.life.start(true);
    expect((await rig.row()).state).toBe('wake');
    expect(await rig.transitions()).toEqual(['hibernation → wake: wake_signal']);
  });

  it('wakes for rows that came meanwhile, not for those that were left', async () => {
    const { db } = rig.database;
    await db.query("insert into engram.banks (id) values ('b')");
    const insert = "insert into engram.memories (bank_id, id, text) values ('b', gen_random_uuid(), 'a text')";
    await db.query(insert);
    await hibernating();
    await db.query("update engram.lifecycle set since = now() + interval '1 ms'");
    const left = await rig.daemon();
    left.cycle.lastCleanAt = new Date();
    await left.life.start(cold);
    expect((await rig.row()).state).toBe('hibernation');
    await left.life.stop();
    await db.query(insert);
    const came = await rig.daemon();
    await came.life.start(cold);
    expect((await rig.row()).state).toBe('wake');
  });
});

describe('a forced sleep', () => {
  it('closes hand-out at once, waits for jobs in hand, sleeps, runs its cycle once and hibernates', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await rig.database.db.query("update engram.lifecycle set woken_at = now() - interval '1 day'");
    daemon.life.activity.begin('/v1/recall')();
    daemon.work = { rows: 10_000, jobsActive: 2, nextAt: null };
    const told = await daemon.life.control.forceSleep('for the night');
    expect(told.note).toContain('batches in flight have 30 s');
    await until(() => expect(daemon.did).toContain('closes, 30 s'));
    await until(() => expect(daemon.life.view()).toMatchObject({ isSleepForced: true, heldBy: 'jobs_active' }));
    expect((await rig.row()).state).toBe('wake');
    daemon.work = { rows: 10_000, jobsActive: 0, nextAt: null };
    await stateIs('sleep');
    await until(() => expect(daemon.cycle.runs[0]).toMatchObject({ trigger: 'forced' }));
    daemon.cycle.end('clean');
    // What it left waits, and holds nothing up: HIBERNATION without the two hours.
    await stateIs('hibernation');
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.cycle.runs).toHaveLength(1);
    expect(daemon.life.view()).toMatchObject({ isSleepForced: false });
    expect(daemon.life.view().nextDue?.what).toBe('cycle');
    expect(await rig.transitions()).toEqual([
      'wake → drowsy: forced',
      'drowsy → sleep: forced',
      'sleep → hibernation: forced_cycle_over',
    ]);
    expect((await daemon.life.control.forceSleep(null)).note).toBe('It hibernates already.');
  });

  it('and a wake together end awake', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await rig.database.db.query("update engram.lifecycle set woken_at = now() - interval '1 day'");
    const held = daemon.races.hold('life:before-transition');
    await forceSleep(rig.database.db);
    daemon.nudge();
    await held.reached;
    await wakeUp(rig.database.db, { instanceId: daemon.id, reason: 'wake_command' });
    held.release();
    daemon.nudge();
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    expect(await rig.row()).toMatchObject({ state: 'wake', forceAgeSeconds: null });
    expect(await rig.transitions()).toEqual([]);
  });

  it('begins a cycle in a SLEEP whose cycle is over', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    daemon.cycle.end('clean');
    await until(() => expect(daemon.life.view().skipped).toBe('cooling_down'));
    await daemon.life.control.forceSleep(null);
    await until(() => expect(daemon.cycle.runs).toHaveLength(2));
    expect(daemon.cycle.runs[1]).toMatchObject({ trigger: 'forced' });
  });
});

describe('a pause', () => {
  it('closes hand-out and ends the cycle, survives a restart, and ends by itself', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    await daemon.life.control.pause(null);
    await until(() => expect(daemon.cycle.isRunning()).toBe(false));
    await until(() => expect(daemon.life.view()).toMatchObject({ skipped: 'paused' }));
    daemon.life.activity.begin('/v1/recall')();
    await stateIs('wake');
    const restarted = await rig.daemon();
    await restarted.life.start(cold);
    restarted.nudge();
    await until(() => expect(restarted.life.view().paused).not.toBeNull());
    expect(restarted.isHandingOut()).toBe(false);
    await setPause(rig.database.db, 1);
    await until(() => {
      restarted.nudge();
      expect(restarted.isHandingOut()).toBe(true);
    });
    expect(restarted.life.view()).toMatchObject({ paused: null });
  });
});

describe('two that park', () => {
  it('each know what is next, and a follower does not get up again and again for what the leader does', async () => {
    await hibernate();
    const [leader, follower] = [
      await rig.daemon({ thresholds: { ...soonParked, hibernates: false } }),
      await rig.daemon({ thresholds: soonParked }),
    ];
    for (const daemon of [leader, follower]) {
      daemon.cycle.lastCleanAt = new Date();
      daemon.work = { rows: 3, jobsActive: 0, nextAt: null };
    }
    await leader.life.start(cold);
    await until(() => expect(leader.isHandingOut()).toBe(true));
    await follower.life.start(cold);
    await until(() => expect(follower.life.isParked()).toBe(true));
    const { nextDue, stampedAt } = follower.life.view();
    expect(nextDue?.what).toBe('work');
    expect((nextDue?.at.getTime() ?? 0) - stampedAt.getTime()).toBeGreaterThan(50_000);
    expect(follower.isHandingOut()).toBe(false);
  });
});

describe('a pause that ends', () => {
  it('brings what is parked back for one look: what rested meanwhile is due', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: soonParked });
    daemon.cycle.lastCleanAt = new Date();
    await setPause(rig.database.db, null);
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.life.view().nextDue).toBeNull();
    daemon.work = { rows: 2, jobsActive: 0, nextAt: null };
    await daemon.life.control.resume();
    daemon.life.heard('engramd_life', 'resume');
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    expect((await rig.row()).state).toBe('hibernation');
    daemon.work = noWork;
    await until(() => expect(daemon.life.isParked()).toBe(true));
  });

  it('leaves no connection behind a control message to what is parked', async () => {
    await hibernate();
    const daemon = await rig.daemon({ thresholds: soonParked });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect((await daemon.life.control.forceSleep(null)).note).toBe('It hibernates already.');
    const { rows } = await rig.database.db.query<{ n: number }>(
      'select count(*)::int as n from pg_stat_activity where application_name = $1',
      [`life ${daemon.id}`],
    );
    expect(rows).toEqual([{ n: 0 }]);
  });
});

describe('without a clean cycle for two days', () => {
  it('runs one awake, in slices, which activity does not end', async () => {
    await rig.database.db.query("update engram.lifecycle set born_at = now() - interval '49 h'");
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await until(() => expect(daemon.cycle.runs[0]).toMatchObject({ trigger: 'starved', sliceMs: 2000 }));
    daemon.life.activity.begin('/v1/recall')();
    daemon.nudge();
    await until(() => expect(daemon.life.view().activityAgeSeconds).toBeLessThan(1));
    expect(daemon.cycle.isRunning()).toBe(true);
    expect(daemon.isHandingOut()).toBe(true);
  });
});

describe('what is due in HIBERNATION', () => {
  it('is done without waking, and parked again after', async () => {
    const daemon = await rig.daemon();
    await daemon.life.start(cold);
    await asleep();
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    daemon.cycle.end('clean');
    const { now } = await rig.row();
    // Rows that rest become workable in a second.
    daemon.work = { rows: 0, jobsActive: 0, nextAt: new Date(now.getTime() + 1500) };
    await rig.idleFor(7200);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.life.view().nextDue?.what).toBe('work');
    daemon.work = { rows: 4, jobsActive: 0, nextAt: null };
    await until(() => expect(daemon.isHandingOut()).toBe(true));
    expect((await rig.row()).state).toBe('hibernation');
    daemon.work = noWork;
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.isHandingOut()).toBe(false);
    expect((await rig.transitions()).filter((told) => told.includes('→ wake'))).toEqual([]);
  });
});
