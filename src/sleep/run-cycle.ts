import type { Database } from '../db/database.ts';
import { isConnectionFailure } from '../db/errors.ts';
import {
  beginStep,
  type CycleWriter,
  type EndedStep,
  endStep,
  finishCycle,
  type OpenedCycle,
  openCycle,
  saveStep,
} from '../store/sleep-cycles.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { type Progress, runStep, type Stray } from './run-step.ts';
import { shortError, shortNote } from './short-text.ts';
import type { CycleEnd, RunCycleRequest } from './sleep-cycle.ts';
import type { JsonValue, SleepStep, SleepStepName } from './step.ts';

export interface CycleDeps {
  readonly db: Database;
  /** In their order. */
  readonly steps: readonly SleepStep[];
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}

/** What outlives one run in this process. */
export interface CycleMemory {
  /** The step at hand. */
  current: { readonly cycleId: string; readonly step: SleepStepName; progress: Progress } | null;
  /** A step that ignored its signal and runs on: no other begins before it has returned, or is given up. */
  stray: {
    readonly cycleId: string;
    readonly step: SleepStepName;
    readonly returned: Stray;
    readonly givenUpMs: number;
  } | null;
  /** Begun, and no end of it could be written: the database was away. Not the step's failure. */
  owed: { readonly cycleId: string; readonly name: SleepStepName } | null;
  /** Steps that came no further in slices, by when they are tried again in slices. */
  readonly rests: Map<SleepStepName, number>;
}

/** As after a failed cycle: whoever asks every 30 s must not have the same work done every time. */
const restMs = 10 * 60_000;
/** What has not returned so long after it was told to never will. It can keep nothing any more, and steps bear being done twice. */
const strayMs = 60 * 60_000;
const noProgress: Progress = { done: null, total: null, note: null };

/** One run: goes on with the open cycle, or begins one. */
export class CycleRun {
  readonly #deps: CycleDeps;
  readonly #memory: CycleMemory;
  readonly #request: RunCycleRequest;
  readonly #writer: CycleWriter;

  constructor(deps: CycleDeps, memory: CycleMemory, request: RunCycleRequest) {
    this.#deps = deps;
    this.#memory = memory;
    this.#request = request;
    this.#writer = { instanceId: deps.instanceId, fence: request.fence };
  }

  async run(): Promise<CycleEnd> {
    const { signal, trigger } = this.#request;
    const { db, log, racepoints, steps, newId } = this.#deps;
    if (!(await this.#strayIsBack())) return { kind: 'interrupted', cycleId: this.#memory.stray?.cycleId ?? null };
    if (signal.aborted) return { kind: 'interrupted', cycleId: null };
    const names = steps.map(({ name }) => name);
    const wanted = { id: newId(), trigger, isForced: trigger === 'forced', steps: names };
    const cycle = await db.tx({ label: 'sleep cycle' }, (tx) => openCycle(tx, this.#writer, wanted));
    if (cycle === null) return { kind: 'lost_leadership' };
    if (cycle.abandoned) log.warn('a sleep cycle that nobody went on with for twelve hours was given up');
    const { isResumed: resumes, startsOver } = cycle;
    log.info({ cycleId: cycle.id, trigger, resumes, startsOver }, 'sleep cycle');
    await racepoints.reach('cycle:begun', { cycleId: cycle.id, resumes });
    await this.#settleOwed();
    return this.#runSteps(cycle);
  }

  async #runSteps(cycle: OpenedCycle): Promise<CycleEnd> {
    const { signal } = this.#request;
    const interrupted: CycleEnd = { kind: 'interrupted', cycleId: cycle.id };
    let isSomethingLeft = false;
    for (const step of this.#deps.steps) {
      const status = cycle.steps.find(({ name }) => name === step.name)?.status;
      if (status === 'done' || status === 'failed') continue;
      if (signal.aborted) return interrupted;
      if (this.#rests(step.name)) {
        isSomethingLeft = true;
        continue;
      }
      const end = await this.#runStep(cycle.id, step);
      if (end === 'lost') return { kind: 'lost_leadership' };
      if (end === 'interrupted') return interrupted;
      if (end === 'stalled') isSomethingLeft = true;
      // Never two at once: the next run waits for it.
      if (this.#memory.stray) return interrupted;
    }
    return isSomethingLeft ? interrupted : this.#finish(cycle.id);
  }

  /** What became of it; `ended` covers all that needs no more doing in this cycle. */
  async #runStep(cycleId: string, step: SleepStep): Promise<'ended' | 'interrupted' | 'stalled' | 'lost'> {
    const { db, metrics, racepoints, log, clock } = this.#deps;
    const { trigger, signal, sliceMs } = this.#request;
    const isForced = trigger === 'forced';
    const { name } = step;
    const started = await this.#owing({ cycleId, name }, () =>
      db.tx({ label: 'sleep step' }, (tx) =>
        beginStep(tx, this.#writer, { cycleId, name, ignoresQuarantine: isForced }),
      ),
    );
    if (started.kind === 'lost') return 'lost';
    if (started.kind === 'quarantined') {
      metrics.sleepSteps.inc({ step: name, outcome: 'quarantined' });
      log.warn({ step: name }, 'a sleep step is in quarantine and was passed over');
      return 'ended';
    }
    if (started.died) log.warn({ step: name }, 'the process that was last at this sleep step died in it');
    await racepoints.reach('cycle:step-begun', { step: name });

    const current = { cycleId, step: name, progress: noProgress };
    this.#memory.current = current;
    const startedMs = clock.monotonicMs();
    const end = await runStep({
      step,
      cycleId,
      checkpoint: started.checkpoint as JsonValue,
      isForced,
      signal,
      sliceMs,
      keep: (checkpoint) => saveStep(db, this.#writer, { cycleId, name, checkpoint, ...current.progress }),
      onProgress: (progress) => {
        current.progress = { ...progress, note: progress.note === null ? null : shortNote(progress.note) };
      },
      clock,
      racepoints,
    });
    this.#memory.current = null;
    metrics.sleepStepSeconds.observe({ step: name }, (clock.monotonicMs() - startedMs) / 1000);
    const ended = { cycleId, name, ...current.progress };
    switch (end.kind) {
      case 'lost':
        return 'lost';
      case 'done': {
        this.#memory.rests.delete(name);
        const note = end.note === null ? ended.note : shortNote(end.note);
        log.info({ step: name, note }, 'sleep step done');
        return (await this.#end({ ...ended, note, end: 'done', error: null })) ? 'ended' : 'lost';
      }
      case 'failed': {
        const error = shortError(end.thrown);
        log.warn({ step: name, error }, 'a sleep step failed; the others go on');
        if (end.stray) this.#leaveBehind(cycleId, name, end.stray);
        return (await this.#end({ ...ended, end: 'failed', error })) ? 'ended' : 'lost';
      }
      case 'unreachable':
        await this.#end({ ...ended, end: 'deferred', error: null });
        throw end.thrown;
      case 'interrupted':
      case 'stalled': {
        if (end.stray) this.#leaveBehind(cycleId, name, end.stray);
        if (end.kind === 'stalled') {
          log.warn({ step: name }, 'a sleep step comes no further; it is left alone for a while');
          this.#memory.rests.set(name, clock.monotonicMs() + restMs);
        }
        return (await this.#end({ ...ended, end: 'deferred', error: null })) ? end.kind : 'lost';
      }
      default:
        return end satisfies never;
    }
  }

  /** False: somebody else leads, and nothing was written. */
  async #end(step: EndedStep & { readonly name: SleepStepName }): Promise<boolean> {
    const { db, racepoints, metrics } = this.#deps;
    const { cycleId, name, end } = step;
    await racepoints.reach('cycle:before-step-end', { step: name, end });
    const isWritten = await this.#owing({ cycleId, name }, () => endStep(db, this.#writer, step));
    if (isWritten) metrics.sleepSteps.inc({ step: name, outcome: end });
    return isWritten;
  }

  async #finish(cycleId: string): Promise<CycleEnd> {
    const { db, racepoints, log } = this.#deps;
    await racepoints.reach('cycle:before-end', { cycleId });
    const outcome = await finishCycle(db, this.#writer, cycleId);
    if (outcome === null) return { kind: 'lost_leadership' };
    log.info({ cycleId, outcome }, 'sleep cycle over');
    return { kind: 'finished', cycleId, outcome };
  }

  /** Does what begins or ends a step; where the database goes away over it, the step gets its due next time. */
  async #owing<T>(step: { cycleId: string; name: SleepStepName }, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (isConnectionFailure(thrown)) this.#memory.owed = step;
      throw thrown;
    }
  }

  async #settleOwed(): Promise<void> {
    const { owed } = this.#memory;
    if (owed === null) return;
    await endStep(this.#deps.db, this.#writer, { ...owed, ...noProgress, end: 'deferred', error: null });
    this.#memory.owed = null;
  }

  #rests(name: SleepStepName): boolean {
    // What two seconds are too short for may well come further in a night.
    if (this.#request.sliceMs === undefined) return false;
    return this.#deps.clock.monotonicMs() < (this.#memory.rests.get(name) ?? 0);
  }

  #leaveBehind(cycleId: string, step: SleepStepName, returned: Stray): void {
    const { clock, log } = this.#deps;
    log.error({ step }, 'a sleep step does not listen to its signal; no other begins before it returns');
    this.#memory.stray = { cycleId, step, returned, givenUpMs: clock.monotonicMs() + strayMs };
  }

  /** Or given up. False: the signal came first. */
  async #strayIsBack(): Promise<boolean> {
    const { stray } = this.#memory;
    if (!stray) return true;
    const { clock, log } = this.#deps;
    const { signal } = this.#request;
    const over = new AbortController();
    const ending = AbortSignal.any([signal, over.signal]);
    const leftMs = Math.max(0, stray.givenUpMs - clock.monotonicMs());
    const givenUp = clock.sleep(leftMs, ending).then(() => (signal.aborted ? 'interrupted' : 'given up'));
    const first = await Promise.race([stray.returned, givenUp]);
    over.abort();
    if (first === 'interrupted') return false;
    if (first === 'given up')
      log.error({ step: stray.step }, 'a sleep step never returned; the others go on without it');
    this.#memory.stray = null;
    return true;
  }
}
