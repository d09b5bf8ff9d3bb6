import { setImmediate as yieldToRequests } from 'node:timers/promises';
import { isConnectionFailure, sqlState } from '../db/errors.ts';
import { attemptsOf, closeCrashedAttempts, hasCrashes } from '../store/attempts.ts';
import { bankMission } from '../store/bank-mission.ts';
import { type DueMemory, parkMemories, postponeMemories, selectDueMemories } from '../store/due-memories.ts';
import { postponeReplan, type ReplanTarget, selectReplans } from '../store/replan-work.ts';
import { closeCrashedRuns, finishRun, insertRun } from '../store/runs.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { restMs } from './back-off.ts';
import { type BatchReport, runBatch } from './batch.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import type { SliceOptions, SliceOutcome, SliceReport } from './engine.ts';
import { batchLimits, type PackedBatch, packBatches } from './packing.ts';
import { runReplan } from './replan.ts';
import { SliceTally } from './slice-tally.ts';
import type { AttemptEnd } from './suspects.ts';

const defaultSelectForMs = 60_000;
/** An outside service that fails is left alone this long, and up to twice as long by chance. */
const deferMs = 30_000;
const replansAtOnce = 32;
/** An observation that could not be written again is due after this long. */
const replanPauseMs = 3_600_000;

/**
 * One slice of a bank: observations that lost evidence first, then due memories in batches, `concurrency` at once, until
 * nothing is due, the time is up, another bank waits, a service fails or the caller says stop.
 */
export async function runSlice(deps: ConsolidationDeps, options: SliceOptions): Promise<SliceReport> {
  return new Slice(deps, options).run();
}

class Slice {
  readonly #deps: ConsolidationDeps;
  readonly #options: SliceOptions;
  readonly #runId: string;
  readonly #startedMs: number;
  readonly #tally = new SliceTally();
  readonly #inFlight = new Map<Promise<void>, readonly string[]>();
  readonly #seenReplans: string[] = [];
  /** Memories whose batch used up its rounds once in this slice. */
  readonly #contended = new Set<string>();
  #ready: PackedBatch[] = [];
  #pages = 0;
  #mission = '';
  #readsHistory = false;
  #runStarted = false;
  /** Set once; no batch is selected afterwards. */
  #ending: SliceOutcome | null = null;
  #retryAt: Date | null = null;
  #fatal: unknown;

  constructor(deps: ConsolidationDeps, options: SliceOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#runId = deps.newId();
    this.#startedMs = deps.clock.monotonicMs();
  }

  async run(): Promise<SliceReport> {
    const { db, racepoints } = this.#deps;
    const { bankId } = this.#options;
    const mission = await bankMission(db, bankId);
    if (mission === null) return this.#report('bank_gone');
    this.#mission = mission;
    await racepoints.reach('slice:started', { bankId, runId: this.#runId });
    await closeCrashedAttempts(db, bankId, this.#runId);
    await closeCrashedRuns(db, bankId, this.#runId);
    this.#readsHistory = await hasCrashes(db, bankId);
    try {
      await this.#replanAll();
      await this.#consolidateAll();
      if (this.#fatal !== undefined) throw this.#fatal;
    } finally {
      // Whatever ended the slice, what is in flight is finished or handed back before anybody else gets the bank.
      await Promise.allSettled(this.#inFlight.keys());
      await this.#finish();
    }
    return this.#report(this.#ending ?? 'drained');
  }

  async #replanAll(): Promise<void> {
    const { bankId, signal } = this.#options;
    while (await this.#mayGoOn()) {
      const targets = await selectReplans(this.#deps.db, bankId, { limit: replansAtOnce, inHand: this.#seenReplans });
      if (targets.length === 0) return;
      if (this.#seenReplans.length > 0 && (await this.#yields())) return;
      if (!(await this.#startRun())) return;
      for (const target of targets) {
        // Once a slice: one that keeps losing to others is due again, and must not keep this slice from its memories.
        this.#seenReplans.push(target.id);
        if (signal.aborted) return;
        try {
          const report = await runReplan(this.#deps, { bankId, runId: this.#runId, target, signal });
          this.#tally.addReplan(report);
          if (report.bankGone) this.#ending ??= 'bank_gone';
        } catch (thrown) {
          if (!signal.aborted && !this.#absorb(thrown)) await this.#postponeReplan(target, thrown);
        }
        if (this.#ending !== null) return;
      }
    }
  }

  /** Left to a later run: due at once it would be all that the bank's slices ever did. */
  async #postponeReplan(target: ReplanTarget, thrown: unknown): Promise<void> {
    const { db, log } = this.#deps;
    log.error(
      { error: errorMessage(thrown), observationId: target.id, restMs: replanPauseMs },
      'an observation could not be written again',
    );
    await postponeReplan(db, this.#options.bankId, { id: target.id, version: target.version, restMs: replanPauseMs });
  }

  async #consolidateAll(): Promise<void> {
    while (true) {
      const batch = (await this.#mayGoOn()) ? await this.#nextBatch() : null;
      if (batch === null) {
        if (this.#inFlight.size === 0) {
          if (this.#ending !== null || this.#ready.length === 0) return;
          continue;
        }
        await Promise.race(this.#inFlight.keys());
        continue;
      }
      if (!(await this.#startRun())) return;
      if (batch.alone) await Promise.all(this.#inFlight.keys());
      const work = this.#runOne(batch.memories);
      this.#track(work, batch.memories);
      if (batch.alone) await work;
      await yieldToRequests();
    }
  }

  /** The next batch, if there is room for one and anything is due. */
  async #nextBatch(): Promise<PackedBatch | null> {
    if (this.#inFlight.size >= this.#deps.concurrency) return null;
    if (this.#ready.length === 0) {
      const page = await this.#nextPage();
      if (page.length > 0 && this.#pages > 0 && (await this.#yields())) return null;
      this.#pages += 1;
      this.#ready = page;
    }
    const batch = this.#ready.shift() ?? null;
    if (batch) {
      await this.#deps.racepoints.reach('batch:selected', { memoryIds: batch.memories.map((memory) => memory.id) });
    }
    return batch;
  }

  async #nextPage(): Promise<PackedBatch[]> {
    const perBatch = this.#deps.batchMemories ?? batchLimits.memories;
    while (true) {
      const page = await selectDueMemories(this.#deps.db, this.#options.bankId, {
        limit: this.#deps.concurrency * perBatch,
        inHand: [...this.#inFlight.values()].flat(),
      });
      const packing = packBatches(page, await this.#history(page), perBatch);
      if (packing.guilty.length === 0) return [...packing.batches];
      // They are no longer due; what stood behind them is looked at before this counts as drained.
      await this.#park(packing.guilty, 'crashed_alone');
      if (packing.batches.length > 0) return [...packing.batches];
    }
  }

  async #runOne(memories: readonly DueMemory[]): Promise<void> {
    const { bankId, signal } = this.#options;
    try {
      const report = await runBatch(this.#deps, {
        bankId,
        runId: this.#runId,
        mission: this.#mission,
        memories,
        signal,
      });
      await this.#settle(report);
    } catch (thrown) {
      if (signal.aborted || this.#absorb(thrown)) {
        this.#deps.metrics.batches.inc({ outcome: signal.aborted ? 'handed_back' : 'deferred' });
        return;
      }
      await this.#isolate(memories, thrown);
    }
  }

  async #settle(report: BatchReport): Promise<void> {
    if (report.bankGone) {
      this.#ending = 'bank_gone';
      return;
    }
    this.#tally.addBatch(report);
    this.#deps.metrics.batches.inc({ outcome: 'done' });
    // Contention is due again at once (law L3), but once: what loses two batches in a row is not losing to somebody.
    const lostAgain = report.contended.filter((memory) => this.#contended.has(memory.id));
    for (const memory of report.contended) this.#contended.add(memory.id);
    if (lostAgain.length > 0) {
      this.#deps.log.warn({ memories: lostAgain.length }, 'memories were decided twice without an end; they rest');
    }
    const resting = [...report.noProgress, ...lostAgain];
    if (resting.length > 0) await this.#postpone(resting);
  }

  /** The batch itself is the trouble: halves, down to the one memory that is (law L8 leaves the others alone). */
  async #isolate(memories: readonly DueMemory[], thrown: unknown): Promise<void> {
    this.#deps.metrics.batches.inc({ outcome: 'failed' });
    this.#deps.log.error({ error: errorMessage(thrown), memories: memories.length }, 'a batch could not be decided');
    if (memories.length <= 1) {
      await this.#postpone(memories);
      return;
    }
    const middle = Math.ceil(memories.length / 2);
    await this.#runOne(memories.slice(0, middle));
    if (this.#ending === null && !this.#options.signal.aborted) await this.#runOne(memories.slice(middle));
  }

  /** No progress: a later attempt, or after enough of them a person (law L5). */
  async #postpone(memories: readonly DueMemory[]): Promise<void> {
    const { random, db } = this.#deps;
    const planned = memories.map((memory) => ({ memory, rest: restMs(memory.attempts, random()) }));
    const spent = planned.filter((entry) => entry.rest === null).map((entry) => entry.memory);
    const later = planned.flatMap(({ memory, rest }) =>
      rest === null ? [] : [{ id: memory.id, version: memory.version, restMs: rest }],
    );
    if (later.length > 0) await postponeMemories(db, this.#options.bankId, later);
    if (spent.length > 0) await this.#park(spent, 'no_progress');
  }

  #park(memories: readonly DueMemory[], reason: 'no_progress' | 'crashed_alone'): Promise<void> {
    this.#deps.log.warn(
      { memories: memories.length, reason },
      'memories parked; `engramd jobs retry` brings them back',
    );
    return parkMemories(this.#deps.db, this.#options.bankId, memories, reason);
  }

  async #history(page: readonly DueMemory[]): Promise<(memoryId: string) => readonly AttemptEnd[]> {
    if (!this.#readsHistory || page.length === 0) return () => [];
    const ids = page.map((memory) => memory.id);
    const attempts = await attemptsOf(this.#deps.db, this.#options.bankId, ids);
    return (memoryId) =>
      attempts
        .filter((attempt) => attempt.memoryIds.includes(memoryId))
        .map((attempt) => ({ size: attempt.size, crashed: attempt.outcome === 'crashed' }));
  }

  /** Decides, before each selection, whether the slice goes on; says why where it does not. */
  async #mayGoOn(): Promise<boolean> {
    if (this.#ending !== null) return false;
    if (this.#options.signal.aborted) this.#ending = 'aborted';
    else if (this.#elapsedMs() >= (this.#options.selectForMs ?? defaultSelectForMs)) this.#ending = 'time_up';
    return this.#ending === null;
  }

  /** Asked before each page of work but the first: two banks that both waited would else hand the turn to each other for ever. */
  async #yields(): Promise<boolean> {
    if (await this.#options.anotherBankWaits?.()) this.#ending ??= 'yielded';
    return this.#ending !== null;
  }

  /** An outage ends the slice without blame on any memory; the database's own ends it with an error. True: handled. */
  #absorb(thrown: unknown): boolean {
    if (isConnectionFailure(thrown)) {
      this.#fatal ??= thrown;
      this.#ending ??= 'deferred';
      return true;
    }
    const code = thrown instanceof EngramdError && thrown.retryable ? thrown.code : busyDatabaseState(thrown);
    if (code === undefined) return false;
    const { clock, random, log } = this.#deps;
    this.#ending ??= 'deferred';
    this.#retryAt ??= new Date(clock.now().getTime() + deferMs * (1 + random()));
    log.warn({ error: errorMessage(thrown), code, retryAt: this.#retryAt }, 'consolidation deferred');
    return true;
  }

  #track(work: Promise<void>, memories: readonly DueMemory[]): void {
    const tracked = work
      .catch((thrown: unknown) => {
        this.#fatal ??= thrown;
        this.#ending ??= 'deferred';
      })
      .finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.set(
      tracked,
      memories.map((memory) => memory.id),
    );
  }

  async #startRun(): Promise<boolean> {
    if (this.#runStarted) return true;
    const { bankId, trigger } = this.#options;
    this.#runStarted = await insertRun(this.#deps.db, {
      bankId,
      id: this.#runId,
      trigger,
      instanceId: this.#deps.instanceId,
    });
    if (!this.#runStarted) this.#ending = 'bank_gone';
    return this.#runStarted;
  }

  async #finish(): Promise<void> {
    if (!this.#runStarted || this.#ending === 'bank_gone') return;
    const outcome = this.#ending ?? 'drained';
    const counts = { ...this.#tally.counts() };
    await finishRun(this.#deps.db, { bankId: this.#options.bankId, id: this.#runId, outcome, counts }).catch(
      (thrown: unknown) => {
        this.#deps.log.warn({ error: errorMessage(thrown) }, 'the end of a run could not be recorded');
      },
    );
  }

  #elapsedMs(): number {
    return this.#deps.clock.monotonicMs() - this.#startedMs;
  }

  #report(outcome: SliceOutcome): SliceReport {
    return {
      runId: this.#runId,
      outcome,
      counts: this.#tally.counts(),
      retryAt: outcome === 'deferred' ? this.#retryAt : null,
    };
  }
}

/**
 * The SQLSTATE of a server that could not do it now: out of something (class 53), gave up waiting for a lock (55P03) or
 * for the end of a statement (57014), deadlocks beyond all retries (class 40), trouble with its disk (class 58). None of
 * these is the fault of a memory, and none may park one.
 */
function busyDatabaseState(thrown: unknown): string | undefined {
  const state = sqlState(thrown);
  return state !== undefined && /^(?:40|53|58|55P03|57014|25P03)/.test(state) ? state : undefined;
}
