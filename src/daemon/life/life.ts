import type { Database } from '../../db/database.ts';
import type { IdleThresholds } from '../../lifecycle/idle-facts.ts';
import type { LifeControl, LifeView } from '../../lifecycle/life-view.ts';
import { inQuietHours, type QuietHours } from '../../lifecycle/quiet-hours.ts';
import { isAsleep, lifecycleStates, type TransitionReason } from '../../lifecycle/states.ts';
import type { SleepCycle } from '../../sleep/sleep-cycle.ts';
import { hasNewWork } from '../../store/demand.ts';
import { touchInstance } from '../../store/instances.ts';
import { type LifeRow, readLife } from '../../store/lifecycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { type EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import { type Activity, createActivity } from './activity.ts';
import type { Chore } from './chore.ts';
import { createChoreRunner } from './chore-runner.ts';
import { createCycleConductor } from './cycle-conductor.ts';
import { createHandOutSwitch, type OpensHandOut } from './hand-out.ts';
import { wasAskedTooLately } from './late-request.ts';
import { createLeadership, type Term } from './leadership.ts';
import { createLifeControl } from './life-control.ts';
import { createLifeMemory, type LifeMemory } from './life-memory.ts';
import { createMaintenance, isForbidden } from './maintenance.ts';
import { tickEveryMs, untilNextTickMs } from './pace.ts';
import { createParking, type ParkedPart } from './parking.ts';
import { type LeaderDeps, type Led, lead, lookAround, type WorkableCounts } from './tick.ts';
import { createWaking } from './waking.ts';

export interface LifeDeps {
  readonly db: Database;
  readonly instanceId: string;
  readonly queue: OpensHandOut & {
    hint(bankId: string): Promise<void>;
    workable(): Promise<WorkableCounts>;
  };
  readonly cycle: SleepCycle;
  readonly chores: readonly Chore[];
  /** What a parked process does without, in the order in which it lets go. */
  readonly parts: (leadership: ParkedPart) => readonly ParkedPart[];
  readonly thresholds: IdleThresholds;
  readonly quietHours: QuietHours | undefined;
  /** Hibernation ends the process instead: told once, when the row says so and nobody is being answered. */
  readonly onExit: (() => void) | null;
  /** This process cannot get up again. */
  readonly onFatal: (error: EngramdError) => void;
  /** Told when this process ticks (the next tick is so far away), and with null when it does not any more. */
  readonly onTick: (nextMs: number | null) => void;
  /** What a supervisor may show, in a few words; told again and again. */
  readonly onStatus: (text: string) => void;
  /** Looked at once a minute while parked: what nobody else looks at then. */
  readonly onParkedMinute: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
}

/** The daemon's life: when it works, sleeps and wakes. */
export interface Life {
  readonly activity: Activity;
  readonly control: LifeControl;
  view(): LifeView;
  /** Reads the row once more, unless parked. */
  refresh(): Promise<void>;
  isParked(): boolean;
  /** Resolves when all that parking let go of is back; at once where nothing was. */
  whenUp(): Promise<void>;
  /**
   * @param hasWakeSignal whether somebody started this process in order to have it awake. Otherwise a start in
   *   HIBERNATION looks for new rows, and serves whoever comes, the connections that a supervisor took among them.
   */
  start(hasWakeSignal: boolean): Promise<void>;
  /** A notification of the database. */
  heard(channel: string, payload: string): void;
  /** For a process that may have missed a notification: what was said while it did not listen was said to nobody. */
  missed(): void;
  stop(): Promise<void>;
}

/** After a tick that failed: a database that restarts is back in seconds. */
const retryMs = 5000;
const soonMs = 50;
/** While work that was left to be done in hibernation is being done. */
const maintenanceLookMs = 1000;
/** A parked daemon looks at its timer this often, since a machine that was suspended counts wrong. */
const parkedLookMs = 60_000;
/** Batches in flight when sleep is forced. */
const forcedGraceMs = 30_000;
const graceMs = 5000;
const getsUpFor: ReadonlySet<string> = new Set(['wake', 'pause', 'resume']);
/** A start in hibernation waits this long for somebody who wants it, at most as long as it takes to grow drowsy. */
const bootGraceMs = 90_000;

export async function createLife(deps: LifeDeps): Promise<Life> {
  const first = await readLife(deps.db);
  return new DaemonLife(deps, first);
}

class DaemonLife implements Life {
  readonly activity: Activity;
  readonly control: LifeControl;
  readonly #deps: LifeDeps;
  readonly #memory: LifeMemory;
  readonly #leadership;
  readonly #parking;
  readonly #handOut;
  readonly #conductor;
  readonly #chores;
  readonly #maintenance;
  readonly #waking;
  readonly #stopped = new AbortController();
  #nudged = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  /** Requests and those in flight, as the row has them. */
  #told = '0 0';
  #mayParkAtMs = 0;
  #isBegun = false;
  #hasExited = false;

  constructor(deps: LifeDeps, first: LifeRow) {
    const { clock, log, metrics } = deps;
    this.#deps = deps;
    this.activity = createActivity(clock, () => this.#wanted('activity'));
    this.#memory = createLifeMemory({
      ...deps,
      first,
      activity: this.activity,
      inQuietHours: () => inQuietHours(deps.quietHours, clock.now()),
    });
    this.#leadership = createLeadership({ ...deps, onElected: () => this.#nudge() });
    this.#handOut = createHandOutSwitch({ queue: deps.queue, log });
    this.#maintenance = createMaintenance({ handOut: this.#handOut, clock });
    this.#conductor = createCycleConductor({ ...deps, onOver: () => this.#nudge() });
    this.#chores = createChoreRunner({ ...deps, onOver: () => this.#nudge() });
    this.#parking = createParking({
      parts: deps.parts({
        name: 'leadership',
        release: () => this.#leadership.stop(),
        restore: () => this.#leadership.start(),
      }),
      onParked: () => this.#onParked(),
      onUp: () => this.#onUp(),
      onFatal: deps.onFatal,
      clock,
      log,
    });
    this.#waking = createWaking({
      ...deps,
      getUp: (reason) => {
        this.#conductor.interrupt(reason);
        void this.#parking.unpark();
      },
      onRow: (row) => this.#memory.remember(row),
      onAwake: () => {
        this.#follow(this.#memory.row());
        this.#nudge();
      },
      signal: this.#stopped.signal,
    });
    this.control = createLifeControl({
      ...deps,
      memory: this.#memory,
      isParked: () => this.#parking.isParked(),
      isCycleRunning: () => this.#conductor.isRunning(),
      wake: (reason) => this.#waking.wake(reason),
      onChanged: () => this.#nudge(),
    });
    this.#note(metrics);
  }

  view(): LifeView {
    return this.#memory.view({ isParked: this.#parking.isParked(), isLeading: this.#leadership.term() !== null });
  }

  isParked(): boolean {
    return this.#parking.isParked();
  }

  whenUp(): Promise<void> {
    return this.#parking.unpark();
  }

  async refresh(): Promise<void> {
    if (this.#parking.isParked()) return;
    this.#memory.remember(await readLife(this.#deps.db));
  }

  async start(hasWakeSignal: boolean): Promise<void> {
    const { db, clock, thresholds } = this.#deps;
    const row = this.#memory.row();
    this.#isBegun = true;
    if (row.state === 'hibernation') {
      this.#mayParkAtMs = clock.monotonicMs() + Math.min(bootGraceMs, thresholds.drowsyAfterSeconds * 1000);
    }
    if (hasWakeSignal) await this.#waking.wake('wake_signal');
    else if (isAsleep(row.state) && (await hasNewWork(db, row))) {
      await this.#waking.wake('demand_at_boot');
    }
    await this.#leadership.start();
    this.#follow(this.#memory.row());
    this.#loop = this.#run();
  }

  heard(channel: string, payload: string): void {
    if (this.#stopped.signal.aborted) return;
    if (channel === 'engramd_work') {
      // Rows by plain SQL: somebody wrote them, though not through us. First by that name: activity would give its own.
      this.#wanted('rows_by_sql');
      this.activity.begin('sql')();
      void this.#deps.queue.hint(payload);
      return;
    }
    // A wake holds for a process that is on its way to park as well, whatever it has read before.
    if (payload === 'wake') this.#waking.distrustRow();
    // A pause or its end changes what is due: one look, and it parks again. Nothing else that is said is for the parked.
    if (getsUpFor.has(payload)) void this.#parking.unpark();
    if (!this.#parking.isParked()) this.#nudge();
  }

  missed(): void {
    // A start looks for itself, and nobody is to be woken before it.
    if (!this.#isBegun || this.#stopped.signal.aborted) return;
    void this.#lookForDemand().catch((thrown: unknown) => {
      if (this.#stopped.signal.aborted) return;
      this.#deps.log.warn({ error: errorMessage(thrown) }, 'what came while nobody listened is not known yet');
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#nudge();
    await Promise.all([this.#conductor.halt('the daemon stops'), this.#chores.halt('the daemon stops')]);
    await this.#loop;
    await this.#waking.settled();
    await this.#parking.stop();
    await this.#leadership.stop();
  }

  async #lookForDemand(): Promise<void> {
    const { db } = this.#deps;
    if (!this.#parking.isParked()) {
      // Not by the row in memory: that it changed was said to nobody either.
      const row = await readLife(db);
      this.#memory.remember(row);
      if (row.state !== 'wake' && (await hasNewWork(db, row))) this.#wanted('rows_by_sql');
      return this.#nudge();
    }
    const parkedSince = this.#memory.row().since;
    const row = await readLife(db);
    if (row.state !== 'hibernation') await this.#parking.unpark();
    else if (await hasNewWork(db, { ...row, since: parkedSince })) this.#wanted('rows_by_sql');
    // The look has taken a connection of the pool.
    if (this.#parking.isParked()) await db.rest();
  }

  #nudge(): void {
    this.#nudged.abort();
  }

  /** Somebody wants something. Awake, there is nothing to do but to note it. */
  #wanted(reason: TransitionReason): void {
    if (this.#stopped.signal.aborted) return;
    if (this.#memory.row().state === 'wake' && !this.#parking.isParked()) return;
    void this.#waking.wake(reason);
  }

  async #run(): Promise<void> {
    const { clock } = this.#deps;
    let waitMs = 0;
    while (!this.#stopped.signal.aborted) {
      if (waitMs > 0) await clock.sleep(waitMs, this.#nudged.signal);
      const isNudged = this.#nudged.signal.aborted;
      this.#nudged = new AbortController();
      if (this.#stopped.signal.aborted) return;
      // While it ticks nothing is late: a database that says nothing is no reason to be restarted.
      this.#deps.onTick(null);
      waitMs = this.#parking.isParked() ? await this.#parkedLook(isNudged) : await this.#tick();
      if (!this.#parking.isParked()) this.#deps.onTick(waitMs);
    }
  }

  /** One timer, to what is due next. */
  async #parkedLook(isNudged: boolean): Promise<number> {
    const { nextDue } = this.#memory.look();
    const now = this.#memory.databaseNow();
    if (!isNudged) this.#deps.onParkedMinute();
    if (nextDue !== null && nextDue.at <= now && !isNudged) {
      await this.#parking.unpark();
      return 0;
    }
    return Math.min(parkedLookMs, nextDue === null ? parkedLookMs : Math.max(0, nextDue.at.getTime() - now.getTime()));
  }

  /** @returns how long until the next one */
  async #tick(): Promise<number> {
    const { db, instanceId, clock, log, metrics } = this.#deps;
    const { done: wakes } = this.#waking.counts();
    try {
      await this.#flush();
      let row = await readLife(db);
      this.#memory.remember(row);
      this.#follow(row);
      const term = this.#leadership.term();
      let led: Led | null = null;
      if (term !== null) {
        led = await lead(this.#leaderDeps(), term, row);
        row = this.#memory.row();
        this.#follow(row);
      } else {
        this.#memory.ticked(null);
      }
      if (term !== null && led !== null) this.#conduct(term, led);
      else this.#maintenance.end(row);
      metrics.ticks.inc({ outcome: led === null ? 'followed' : 'led' });
      metrics.tickTimestamp.set(clock.now().getTime() / 1000);
      this.#note(metrics);
      return await this.#afterTick(row, led, wakes);
    } catch (thrown) {
      if (this.#stopped.signal.aborted) return 0;
      log.warn({ error: errorMessage(thrown), instanceId }, 'a tick failed; it is tried again');
      metrics.ticks.inc({ outcome: 'failed' });
      this.#memory.ticked(`failed: ${errorMessage(thrown)}`.slice(0, 300));
      return retryMs;
    }
  }

  #leaderDeps(): LeaderDeps {
    return {
      ...this.#deps,
      memory: this.#memory,
      workable: () => this.#deps.queue.workable(),
      choresDue: (now) => this.#chores.due(now),
      isCycleRunning: () => this.#conductor.isRunning(),
      askedCount: () => this.activity.count(),
    };
  }

  /** Before the row is read, so that it knows what this process knows. */
  async #flush(): Promise<void> {
    const { db, instanceId } = this.#deps;
    const told = `${this.activity.count()} ${this.activity.inFlight()}`;
    if (told === this.#told) return;
    await touchInstance(db, instanceId, {
      lastActivityAgeMs: this.activity.ageMs(),
      requestsInFlight: this.activity.inFlight(),
    });
    this.#told = told;
  }

  /** Does what the row says, whoever wrote it. */
  #follow(row: LifeRow): void {
    if (this.#stopped.signal.aborted) return;
    if (wasAskedTooLately(row, this.activity.ageMs(), this.#deps.thresholds)) {
      this.#wanted('activity');
      return;
    }
    if (isForbidden(row)) this.#maintenance.end(row);
    if (row.pause !== null) void this.#conductor.halt('paused');
    switch (row.state) {
      case 'wake':
      case 'drowsy':
        this.#conductor.interrupt('awake');
        if (this.#parking.isParked()) void this.#parking.unpark();
        if (row.pause !== null || row.forceAgeSeconds !== null) this.#handOut.close(forcedGraceMs);
        else this.#handOut.open();
        return;
      case 'sleep':
      case 'hibernation':
        if (!this.#maintenance.isRunning()) this.#handOut.close(row.honouredForceAt === null ? graceMs : forcedGraceMs);
        return;
    }
  }

  /** The leader begins what the look found to be due. */
  #conduct(term: Term, { row, cycle, chores, workableRows, jobsActive }: Led): void {
    if (cycle.kind === 'run') this.#beginCycle(term, cycle.trigger);
    this.#chores.begin(term, chores, row.now);
    this.#maintenance.look({ row, workableRows, jobsActive, mayRun: !this.#conductor.isRunning() });
  }

  #beginCycle(term: Term, trigger: 'idle' | 'forced' | 'starved'): void {
    const { clock, queue } = this.#deps;
    this.#conductor.begin({
      term,
      trigger,
      ready: async (signal) => {
        // Beside people's work there is nothing to wait for.
        if (trigger === 'starved') return true;
        await this.#handOut.settled();
        for (let waitedMs = 0; waitedMs < forcedGraceMs && !signal.aborted; waitedMs += maintenanceLookMs) {
          if ((await queue.workable()).jobsActive === 0) return true;
          await clock.sleep(maintenanceLookMs, signal);
        }
        return false;
      },
    });
  }

  /** @returns how long until the next tick */
  async #afterTick(row: LifeRow, led: Led | null, wakes: number): Promise<number> {
    // Somebody came meanwhile: what was read is over.
    if (wakes !== this.#waking.counts().begun) return soonMs;
    // Who has just got up for what is due has not asked for the lease yet. It is told when everything is back.
    if (!this.#parking.isUp()) return maintenanceLookMs;
    if (this.#maintenance.isRunning()) return maintenanceLookMs;
    const isAtIt = this.#conductor.isRunning() || this.#chores.isRunning();
    if (row.state === 'hibernation' && this.#deps.thresholds.hibernates && !isAtIt) {
      const graceLeftMs = this.#mayParkAtMs - this.#deps.clock.monotonicMs();
      if (graceLeftMs > 0) return Math.min(tickEveryMs, graceLeftMs);
      if (this.activity.inFlight() === 0) {
        if (led === null) await lookAround(this.#leaderDeps(), row);
        await this.#handOut.settled();
        if (wakes === this.#waking.counts().begun) await this.#hibernate();
        return this.#parking.isParked() ? this.#parkedLook(true) : 0;
      }
    }
    return untilNextTickMs(led?.idle ?? null, row.forceAgeSeconds !== null);
  }

  async #hibernate(): Promise<void> {
    const { onExit } = this.#deps;
    if (onExit !== null) {
      if (!this.#hasExited) onExit();
      this.#hasExited = true;
      return;
    }
    const look = this.#memory.look();
    const now = this.#memory.databaseNow();
    const earliest = new Date(now.getTime() + parkedLookMs);
    // What is due and was not done now, by whoever leads or because it cannot be, is no reason to get up at once again.
    if (look.nextDue !== null && look.nextDue.at <= now) {
      this.#memory.rememberLook({ ...look, nextDue: { ...look.nextDue, at: earliest } });
    }
    await this.#parking.park();
  }

  async #onParked(): Promise<void> {
    const { log, metrics, racepoints, onTick } = this.#deps;
    onTick(null);
    metrics.parked.set(1);
    this.#deps.onStatus('hibernating, parked');
    const { nextDue } = this.#memory.look();
    log.info({ nextDue }, 'parked: everything is released but the sockets and one connection');
    await racepoints.reach('park:released');
  }

  #onUp(): void {
    this.#deps.metrics.parked.set(0);
    this.#nudge();
  }

  #note(metrics: Metrics): void {
    const view = this.view();
    this.#deps.onStatus(`${view.state} since ${view.since.toISOString()}: ${view.reason}`);
    metrics.paused.set(view.paused === null ? 0 : 1);
    for (const state of lifecycleStates) metrics.lifecycleState.set({ state }, state === view.state ? 1 : 0);
    if (view.activityAgeSeconds !== null) {
      metrics.activityTimestamp.set(this.#deps.clock.now().getTime() / 1000 - view.activityAgeSeconds);
    }
  }
}
