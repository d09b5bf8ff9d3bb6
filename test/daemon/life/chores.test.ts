import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Chore } from '../../../src/daemon/life/chore.ts';
import { forceSleep, setPause } from '../../../src/store/lifecycle.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { createLifeRig, type LifeRig } from './life-rig.ts';

let rig: LifeRig;
beforeEach(async () => {
  rig = await createLifeRig();
});
afterEach(() => rig.close());

const cold = false;
const hourMs = 3_600_000;
const soonParked = { drowsyAfterSeconds: 0.05, sleepAfterSeconds: 1, hibernateAfterSeconds: 2, hibernates: true };
const until = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 10_000, interval: 20 });
const stateIs = (state: string) => until(async () => expect((await rig.row()).state).toBe(state));

/** Backups of one database, as all daemons on it see them: due, or not for a day. */
function backupsOfAll() {
  const begun: { readonly by: string; readonly signal: AbortSignal }[] = [];
  let dueAt = new Date(0);
  let end: (() => void) | undefined;
  const choreOf = (by: string): Chore => ({
    name: 'backup',
    nextAt: async () => dueAt,
    async run(signal) {
      begun.push({ by, signal });
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      end = resolve;
      signal.addEventListener('abort', () => reject(signal.reason));
      await promise;
      dueAt = new Date(Date.now() + 24 * hourMs);
    },
  });
  return {
    begun,
    choreOf,
    dueIn(ms: number) {
      dueAt = new Date(Date.now() + ms);
    },
    done: () => end?.(),
  };
}

const hibernate = () => rig.database.db.query("update engram.lifecycle set state = 'hibernation', since = now()");

describe('a backup', () => {
  it('due at 03:00 in HIBERNATION is taken as maintenance: up, and back to park, the state as it was', async () => {
    await hibernate();
    const backups = backupsOfAll();
    backups.dueIn(24 * hourMs);
    const daemon = await rig.daemon({ thresholds: soonParked, chores: [backups.choreOf('a')] });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    expect(daemon.life.view().nextDue).toMatchObject({ what: 'backup' });
    const before = await rig.row();
    // One look, as after a pause: the night comes while it is up for it, and it parks with one timer.
    backups.dueIn(400);
    daemon.life.heard('engramd_life', 'resume');
    await until(() => expect(backups.begun).toHaveLength(1));
    expect(daemon.life.isParked()).toBe(false);
    backups.done();
    await until(() => expect(daemon.life.isParked()).toBe(true));
    const { state, version, since, lastActivityAt } = await rig.row();
    expect({ state, version, since, lastActivityAt }).toEqual({
      state: 'hibernation',
      version: before.version,
      since: before.since,
      lastActivityAt: before.lastActivityAt,
    });
    expect(daemon.isHandingOut()).toBe(false);
    expect(await rig.transitions()).toEqual([]);
  });

  it('holds parking off while it runs, and neither wakes nor counts as work', async () => {
    await hibernate();
    const backups = backupsOfAll();
    const daemon = await rig.daemon({ thresholds: soonParked, chores: [backups.choreOf('a')] });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(backups.begun).toHaveLength(1));
    const { tick } = await rig.row();
    await until(async () => {
      daemon.nudge();
      expect((await rig.row()).tick).toBeGreaterThan(tick + 5);
    });
    expect(daemon.life.isParked()).toBe(false);
    expect(daemon.did).not.toContain('releases');
    expect((await rig.row()).state).toBe('hibernation');
    backups.done();
    await until(() => expect(daemon.life.isParked()).toBe(true));
  });

  it('does not keep it from falling asleep, and goes on through a forced sleep, its cycle and a wake', async () => {
    const backups = backupsOfAll();
    const daemon = await rig.daemon({ chores: [backups.choreOf('a')] });
    await daemon.life.start(cold);
    await until(() => expect(backups.begun).toHaveLength(1));
    await rig.idleFor(1800);
    await forceSleep(rig.database.db);
    daemon.nudge();
    await stateIs('sleep');
    await until(() => expect(daemon.cycle.isRunning()).toBe(true));
    daemon.life.activity.begin('/v1/recall')();
    await stateIs('wake');
    expect(backups.begun.map(({ signal }) => signal.aborted)).toEqual([false]);
    backups.done();
  });

  it('is taken by a paused daemon', async () => {
    await setPause(rig.database.db, null);
    const backups = backupsOfAll();
    const daemon = await rig.daemon({ chores: [backups.choreOf('a')] });
    await daemon.life.start(cold);
    await until(() => expect(backups.begun).toHaveLength(1));
    expect(daemon.isHandingOut()).toBe(false);
    await setPause(rig.database.db, hourMs);
    daemon.life.heard('engramd_life', 'pause');
    await until(() => expect(daemon.life.view().paused?.until).not.toBeNull());
    expect(backups.begun[0]?.signal.aborted).toBe(false);
    backups.done();
  });

  it('of two daemons is taken by one', async () => {
    const backups = backupsOfAll();
    const one = await rig.daemon({ chores: [backups.choreOf('one')] });
    const other = await rig.daemon({ chores: [backups.choreOf('other')] });
    await one.life.start(cold);
    await other.life.start(cold);
    const { tick } = await rig.row();
    await until(async () => {
      one.nudge();
      other.nudge();
      expect((await rig.row()).tick).toBeGreaterThan(tick + 5);
    });
    expect(backups.begun.map(({ by }) => by)).toEqual(['one']);
    backups.done();
  });

  it('is broken off where the lead is lost, and begun anew by whoever leads', async () => {
    const backups = backupsOfAll();
    // A lease is renewed every five seconds, which is when its loss is seen.
    const hasty = { ...systemClock, sleep: (ms: number, over?: AbortSignal) => systemClock.sleep(ms / 50, over) };
    const one = await rig.daemon({ chores: [backups.choreOf('one')], clock: hasty });
    const other = await rig.daemon({ chores: [backups.choreOf('other')] });
    await one.life.start(cold);
    await until(() => expect(backups.begun).toHaveLength(1));
    await rig.database.db.query(
      "update engram.leader set instance_id = $1, fence = fence + 1, expires_at = now() + interval '15 s'",
      [other.id],
    );
    await until(() => expect(backups.begun[0]?.signal.aborted).toBe(true));
    await rig.database.db.query("update engram.leader set expires_at = now() - interval '1 s'");
    await other.life.start(cold);
    await until(() => expect(backups.begun.map(({ by }) => by)).toContain('other'));
    backups.done();
  });

  it('is broken off by a stop, which waits for it', async () => {
    const backups = backupsOfAll();
    const chore = backups.choreOf('a');
    let isTidy = false;
    const tidies: Chore = {
      ...chore,
      run: (signal) =>
        chore.run(signal).finally(async () => {
          await rig.database.db.query('select pg_sleep(0.1)');
          isTidy = true;
        }),
    };
    const daemon = await rig.daemon({ chores: [tidies] });
    await daemon.life.start(cold);
    await until(() => expect(backups.begun).toHaveLength(1));
    await daemon.life.stop();
    expect(backups.begun.map(({ signal }) => signal.aborted)).toEqual([true]);
    expect(isTidy).toBe(true);
  });

  it('that cannot be asked for is unknown, and the tick goes on; it is looked after again', async () => {
    await hibernate();
    const chore: Chore = {
      name: 'backup',
      nextAt: () => Promise.reject(new Error('no such table')),
      run: async () => expect.unreachable('nobody knows that it is due'),
    };
    const daemon = await rig.daemon({ thresholds: soonParked, chores: [chore] });
    daemon.cycle.lastCleanAt = new Date();
    await daemon.life.start(cold);
    await until(() => expect(daemon.life.isParked()).toBe(true));
    const { nextDue, skipped } = daemon.life.view();
    expect({ what: nextDue?.what, skipped }).toEqual({ what: 'backup', skipped: null });
    expect(rig.logged.join('')).toContain('no such table');
  });
});
