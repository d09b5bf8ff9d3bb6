import { v7 as uuid } from 'uuid';
import { createLife, type Life, type LifeDeps } from '../../../src/daemon/life/life.ts';
import type { WorkableCounts } from '../../../src/daemon/life/tick.ts';
import { createDatabase, type Database } from '../../../src/db/database.ts';
import type { CycleOutcome } from '../../../src/sleep/cycle-view.ts';
import type { CycleEnd, RunCycleRequest, SleepCycle } from '../../../src/sleep/sleep-cycle.ts';
import { insertInstance } from '../../../src/store/instances.ts';
import { type LifeRow, readLife } from '../../../src/store/lifecycle.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createRaceControl, type RaceControl } from '../../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';

const minute = 60;

/** A cycle that runs until the test ends it, or somebody comes. */
export interface HeldCycle extends SleepCycle {
  readonly runs: RunCycleRequest[];
  /** Of the run at hand. */
  end(outcome: CycleOutcome): void;
  lastCleanAt: Date | null;
}

function createHeldCycle(): HeldCycle {
  let ending: ((end: CycleEnd) => void) | undefined;
  const runs: RunCycleRequest[] = [];
  let isOpen = false;
  let ends = 0;
  const cycle: HeldCycle = {
    runs,
    lastCleanAt: null,
    run(request) {
      runs.push(request);
      isOpen = true;
      const { promise, resolve } = Promise.withResolvers<CycleEnd>();
      ending = resolve;
      request.signal.addEventListener('abort', () => resolve({ kind: 'interrupted', cycleId: 'cycle' }));
      return promise.finally(() => {
        ending = undefined;
      });
    },
    end(outcome) {
      isOpen = false;
      ends += 1;
      if (outcome === 'clean') cycle.lastCleanAt = new Date();
      ending?.({ kind: 'finished', cycleId: 'cycle', outcome });
    },
    isRunning: () => ending !== undefined,
    latest: async () => null,
    quarantine: async () => [],
    history: async () => ({
      started: runs.length,
      completed: ends,
      lastCleanAt: cycle.lastCleanAt,
      lastGoodAt: cycle.lastCleanAt,
      lastFailedAt: null,
    }),
    hasOpen: async () => isOpen,
  };
  return cycle;
}

export interface RiggedDaemon {
  readonly id: string;
  readonly life: Life;
  readonly cycle: HeldCycle;
  readonly db: Database;
  /** What it did: hand-out opened and closed, parts released and restored, hints, exits. */
  readonly did: string[];
  readonly races: RaceControl;
  /** What `workable` answers; an error is thrown. */
  work: WorkableCounts | Error;
  isHandingOut(): boolean;
  /** Has the loop look now. */
  nudge(): void;
  stop(): Promise<void>;
}

export interface LifeRig {
  readonly database: TestDatabase;
  readonly logged: string[];
  daemon(overrides?: Partial<LifeDeps>): Promise<RiggedDaemon>;
  row(): Promise<LifeRow>;
  /** As if nobody had asked for anything for so long, and everybody had been up for a day. */
  idleFor(seconds: number): Promise<void>;
  transitions(): Promise<string[]>;
  close(): Promise<void>;
}

export const noWork: WorkableCounts = { rows: 0, jobsActive: 0, nextAt: null };

/** Daemons' lives on one real database, with queues and cycles that the test holds in its hands. */
export async function createLifeRig(): Promise<LifeRig> {
  const database = await createTestDatabase({ poolMax: 3 });
  const logged: string[] = [];
  const log = createLog({ level: 'info', pretty: false, destination: { write: (line) => logged.push(line) } });
  const daemons: RiggedDaemon[] = [];

  return {
    database,
    logged,
    async daemon(overrides = {}) {
      const id = uuid();
      const did: string[] = [];
      const races = createRaceControl();
      const cycle = createHeldCycle();
      let open = 0;
      const db = createDatabase({
        connectionString: database.connectionString,
        poolMax: 3,
        applicationName: `life ${id}`,
        log,
        clock: systemClock,
        metrics: createMetrics(),
      });
      await insertInstance(db, { id, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
      const daemon: RiggedDaemon = {
        id,
        cycle,
        db,
        did,
        races,
        work: noWork,
        isHandingOut: () => open > 0,
        nudge: () => life.heard('engramd_life', 'state'),
        async stop() {
          await life.stop();
          await db.close();
        },
        get life() {
          return life;
        },
      };
      const life = await createLife({
        db,
        instanceId: id,
        queue: {
          openHandOut() {
            open += 1;
            did.push('opens');
            return {
              async close({ graceMs }) {
                open -= 1;
                did.push(`closes, ${graceMs / 1000} s`);
              },
            };
          },
          hint: async (bankId) => void did.push(`hint ${bankId}`),
          async workable() {
            if (daemon.work instanceof Error) throw daemon.work;
            return daemon.work;
          },
        },
        cycle,
        chores: [],
        parts: (leadership) => [
          leadership,
          {
            name: 'part',
            release: async () => void did.push('releases'),
            restore: async () => void did.push('restores'),
          },
          { name: 'pool', release: () => db.rest(), restore: async () => db.rouse() },
        ],
        thresholds: {
          drowsyAfterSeconds: 5 * minute,
          sleepAfterSeconds: 30 * minute,
          hibernateAfterSeconds: 120 * minute,
          hibernates: true,
        },
        quietHours: undefined,
        onExit: null,
        onTick: () => undefined,
        onParkedMinute: () => undefined,
        onFatal: () => undefined,
        onStatus: () => undefined,
        clock: systemClock,
        log,
        metrics: createMetrics(),
        racepoints: races,
        ...overrides,
      });
      daemons.push(daemon);
      return daemon;
    },
    row: () => readLife(database.db),
    async idleFor(seconds) {
      await database.db.query(
        `with l as (update engram.lifecycle set woken_at = least(woken_at, now() - interval '1 day'),
             since = least(since, now() - $1 * interval '1 s'))
         update engram.instances set started_at = now() - interval '1 day',
           last_activity_at = now() - $1 * interval '1 s'`,
        [seconds],
      );
      for (const daemon of daemons) daemon.nudge();
    },
    async transitions() {
      const { rows } = await database.db.query<{ told: string }>(
        `select from_state || ' → ' || to_state || ': ' || reason as told from engram.lifecycle_events order by id`,
      );
      return rows.map(({ told }) => told);
    },
    async close() {
      for (const daemon of daemons) await daemon.stop();
      await database.drop();
    },
  };
}
