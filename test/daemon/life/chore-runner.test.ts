import { describe, expect, it } from 'vitest';
import type { Chore } from '../../../src/daemon/life/chore.ts';
import { createChoreRunner } from '../../../src/daemon/life/chore-runner.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';

const now = new Date('2026-03-04T09:00:00Z');
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A chore that is held until the test ends it, or its signal does. */
function heldChore(name: Chore['name'], nextAt: () => Promise<Date | null> = async () => now) {
  const signals: AbortSignal[] = [];
  let end: { resolve(): void; reject(error: Error): void } | undefined;
  const chore: Chore = {
    name,
    nextAt,
    run(signal) {
      signals.push(signal);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      end = { resolve, reject };
      signal.addEventListener('abort', () => reject(signal.reason));
      return promise;
    },
  };
  return { chore, signals, done: () => end?.resolve(), fail: () => end?.reject(new Error('no disk')) };
}

function rig(...chores: Chore[]) {
  const clock = createDrivenClock();
  const logged: string[] = [];
  const log = createLog({ level: 'info', pretty: false, destination: { write: (line) => logged.push(line) } });
  const overs = { count: 0 };
  const onOver = () => {
    overs.count += 1;
  };
  const runner = createChoreRunner({ chores, clock, log, onOver });
  const controller = new AbortController();
  const term = { fence: 1, over: controller.signal };
  return {
    runner,
    clock,
    overs,
    told: () => logged.join(''),
    loseTheLead: () => controller.abort(new Error('the lease ran out')),
    async tick() {
      runner.begin(term, await runner.due(now), now);
      await turn();
    },
  };
}

describe('chores', () => {
  it('run one of a name at a time, beside those of another name', async () => {
    const [backup, snapshot] = [heldChore('backup'), heldChore('snapshot')];
    const { runner, overs, tick } = rig(backup.chore, snapshot.chore);
    await tick();
    await tick();
    expect([backup.signals.length, snapshot.signals.length]).toEqual([1, 1]);
    snapshot.done();
    await turn();
    expect(overs.count).toBe(1);
    expect(runner.isRunning()).toBe(true);
    await tick();
    expect([backup.signals.length, snapshot.signals.length]).toEqual([1, 2]);
    await runner.halt('enough');
  });

  it('are not done again for having been due when it was asked, and over by the time they would begin', async () => {
    const backup = heldChore('backup');
    const { runner, tick } = rig(backup.chore);
    await tick();
    const due = await runner.due(now);
    backup.done();
    await turn();
    runner.begin({ fence: 1, over: new AbortController().signal }, due, now);
    await turn();
    expect(backup.signals).toHaveLength(1);
    await tick();
    expect(backup.signals).toHaveLength(2);
    await runner.halt('enough');
  });

  it('wait for their time', async () => {
    const backup = heldChore('backup', async () => new Date(now.getTime() + 1));
    const snapshot = heldChore('snapshot', async () => null);
    const { runner, tick } = rig(backup.chore, snapshot.chore);
    await tick();
    expect([backup.signals, snapshot.signals, runner.isRunning()]).toEqual([[], [], false]);
  });

  it('that cannot say when they are due are unknown, begin nothing and leave the others alone', async () => {
    const backup = heldChore('backup', () => Promise.reject(new Error('no database')));
    const snapshot = heldChore('snapshot');
    const { runner, tick, told } = rig(backup.chore, snapshot.chore);
    await tick();
    expect(await runner.due(now)).toEqual({ backup: 'unknown', snapshot: now });
    expect([backup.signals.length, snapshot.signals.length]).toEqual([0, 1]);
    expect(told()).toContain('no database');
    await runner.halt('enough');
  });

  it('that fail end nothing else, are told, and rest for a minute', async () => {
    const backup = heldChore('backup');
    const { runner, clock, overs, tick, told } = rig(backup.chore);
    await tick();
    backup.fail();
    await turn();
    expect([runner.isRunning(), overs.count]).toEqual([false, 1]);
    expect(told()).toContain('no disk');
    await clock.advance(59_999);
    await tick();
    expect(backup.signals).toHaveLength(1);
    await clock.advance(1);
    await tick();
    expect(backup.signals).toHaveLength(2);
    await runner.halt('enough');
  });

  it('that another process is at rest for a minute too, told once and not as a failure', async () => {
    const backup = heldChore('backup');
    const { runner, clock, overs, tick, told } = rig({ ...backup.chore, isElsewhere: () => true });
    await tick();
    backup.fail();
    await turn();
    for (let ticks = 0; ticks < 5; ticks += 1) await tick();
    expect([backup.signals.length, runner.isRunning(), overs.count]).toEqual([1, false, 1]);
    expect(told().split('another process is at it')).toHaveLength(2);
    expect(told()).not.toContain('failed');
    await clock.advance(60_000);
    await tick();
    expect(backup.signals).toHaveLength(2);
    await runner.halt('enough');
  });

  it('that throw at once are over, and not under way for ever', async () => {
    const chore: Chore = {
      name: 'backup',
      nextAt: async () => now,
      run: () => {
        throw new Error('at once');
      },
    };
    const { runner, tick, told } = rig(chore);
    await tick();
    expect(runner.isRunning()).toBe(false);
    expect(told()).toContain('at once');
  });

  it('are broken off with the lead, which is no failure: the next leader begins', async () => {
    const backup = heldChore('backup');
    const { runner, loseTheLead, tick, told } = rig(backup.chore);
    await tick();
    loseTheLead();
    await turn();
    expect(backup.signals[0]?.aborted).toBe(true);
    expect(runner.isRunning()).toBe(false);
    expect(told()).toContain('broken off');
    expect(told()).not.toContain('failed');
  });

  it('are broken off by a stop, which waits for them, and none begins after it', async () => {
    const backup = heldChore('backup');
    const { runner, tick } = rig(backup.chore);
    await tick();
    await runner.halt('the daemon stops');
    expect(runner.isRunning()).toBe(false);
    await tick();
    expect(backup.signals).toHaveLength(1);
  });
});
