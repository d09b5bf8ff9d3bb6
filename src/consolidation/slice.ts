import { setImmediate as yieldToRequests } from 'node:timers/promises';
import { attemptsOf, closeCrashedAttempts, hasCrashes } from '../store/attempts.ts';
import { bankMission } from '../store/bank-mission.ts';
import { type DueMemory, selectDueMemories } from '../store/due-memories.ts';
import { closeCrashedRuns, finishRun, insertRun } from '../store/runs.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { type BatchReport, runBatch } from './batch.ts';
import type { EngineDeps } from './dependencies.ts';
import type { SliceOptions, SliceOutcome, SliceReport } from './engine.ts';
import { Flights } from './flights.ts';
import { limitsOf, type PackedBatch, packBatches } from './packing.ts';
import { createRecentTexts } from './recent-texts.ts';
import { letRest, park, postpone } from './rests.ts';
import { type AnsweredBatch, answeredBatches } from './resume.ts';
import { SliceEnd } from './slice-end.ts';
import type { SliceParts } from './slice-parts.ts';
import { replanAll } from './slice-replans.ts';
import { SliceTally } from './slice-tally.ts';
import { type AttemptEnd, suspicionOf } from './suspects.ts';

const defaultSelectForMs = 60_000;
/**
 * One slice of a bank: batches whose answer is paid for, then observations that lost evidence, then due memories, as many
 * batches beside each other as the engine has turns, until nothing is due, the time is up, another bank waits, a service
 * fails or the caller says stop.
 */
export async function runSlice(deps: EngineDeps, options: SliceOptions): Promise<SliceReport> {
  return new Slice(deps, options).run();
}

class Slice implements SliceParts {
  readonly deps: EngineDeps;
  readonly options: SliceOptions;
  readonly runId: string;
  readonly #startedMs: number;
  readonly tally = new SliceTally();
  readonly flights = new Flights();
  readonly end: SliceEnd;
  /** Memories whose batch used up its rounds once in this slice. */
  readonly #contended = new Set<string>();
  #ready: PackedBatch[] = [];
  #pages = 0;
  #mission = '';
  #readsHistory = false;
  #runStarted = false;

  constructor(deps: EngineDeps, options: SliceOptions) {
    this.deps = { ...deps, recentTexts: createRecentTexts() };
    this.options = options;
    this.runId = deps.newId();
    this.#startedMs = deps.clock.monotonicMs();
    this.end = new SliceEnd(deps);
  }

  async run(): Promise<SliceReport> {
    const { db, racepoints } = this.deps;
    const { bankId } = this.options;
    const mission = await bankMission(db, bankId);
    if (mission === null) return this.#report('bank_gone');
    this.#mission = mission;
    await racepoints.reach('slice:started', { bankId, runId: this.runId });
    await closeCrashedAttempts(db, bankId, this.runId);
    await closeCrashedRuns(db, bankId, this.runId);
    this.#readsHistory = await hasCrashes(db, bankId);
    try {
      await this.#resumeAll();
      await replanAll(this, this.#readsHistory);
      await this.#consolidateAll();
    } finally {
      // Whatever ended the slice, what is in flight is finished or handed back before anybody else gets the bank.
      await this.flights.untilAllLand();
      await this.#finish();
    }
    if (this.end.fatal !== undefined) throw this.end.fatal;
    return this.#report(this.end.outcome ?? 'drained');
  }

  /** What died between answer and apply goes on from there, before anything else can move what it was shown (law L19). */
  async #resumeAll(): Promise<void> {
    if (!this.deps.decider.asksModel || !(await this.isReady())) return;
    const batches = await answeredBatches(this.deps, this.options.bankId);
    const endsOf = await this.#history(batches.flatMap((batch) => batch.memories));
    for (const batch of batches) {
      // Suspects are halved instead: the answer may be what kills.
      if (batch.memories.some((memory) => suspicionOf(endsOf(memory.id)).kind !== 'none')) continue;
      const turn = await this.takeTurn();
      if (turn === null) return;
      if (!(await this.startRun())) return turn();
      this.flights.add(this.#runOne(batch.memories, batch).finally(turn), idsOf(batch.memories));
    }
    await this.flights.untilAllLand();
  }

  async #consolidateAll(): Promise<void> {
    while (true) {
      const turn = await this.takeTurn();
      if (turn === null) return;
      const { landings } = this.flights;
      const batch = await this.#nextBatch().catch((thrown: unknown) => {
        turn();
        throw thrown;
      });
      if (batch === null) {
        turn();
        // What lost its batch, or came meanwhile, may be due when one of them has ended.
        if (this.flights.landings !== landings) continue;
        if (this.flights.size === 0) return;
        await this.flights.untilOneLands();
        continue;
      }
      if (!(await this.startRun())) return turn();
      if (batch.alone) await this.flights.untilAllLand();
      this.flights.add(this.#runOne(batch.memories, null).finally(turn), idsOf(batch.memories));
      if (batch.alone) await this.flights.untilAllLand();
      await yieldToRequests();
    }
  }

  /** Room for one more, shared with the slices of other banks; null where the slice is at its end. */
  async takeTurn(): Promise<(() => void) | null> {
    if (!this.#mayGoOn()) return null;
    const turn = await this.deps.turns.take(this.options.signal).catch(() => null);
    if (turn !== null && this.#mayGoOn()) return turn;
    turn?.();
    this.#mayGoOn();
    return null;
  }

  /** The next batch, if anything is due. */
  async #nextBatch(): Promise<PackedBatch | null> {
    if (this.#ready.length === 0) {
      if (!(await this.isReady())) return null;
      const page = await this.#nextPage();
      if (page.length > 0 && this.#pages > 0 && (await this.yields())) return null;
      this.#pages += 1;
      this.#ready = page;
    }
    const batch = this.#ready.shift() ?? null;
    if (batch) await this.deps.racepoints.reach('batch:selected', { memoryIds: idsOf(batch.memories) });
    return batch;
  }

  async #nextPage(): Promise<PackedBatch[]> {
    const { db, concurrency } = this.deps;
    while (true) {
      const limits = limitsOf(this.deps);
      const page = await selectDueMemories(db, this.options.bankId, {
        limit: concurrency * limits.memories,
        inHand: this.flights.memoryIds,
      });
      const packing = packBatches(page, await this.#history(page), limits);
      if (packing.guilty.length === 0) return [...packing.batches];
      // They are no longer due; what stood behind them is looked at before this counts as drained.
      await park(this.deps, this.options.bankId, packing.guilty, 'crashed_alone');
      if (packing.batches.length > 0) return [...packing.batches];
    }
  }

  /** Never throws: what it cannot deal with is what the slice ends with. */
  #runOne(memories: readonly DueMemory[], answered: AnsweredBatch | null): Promise<void> {
    return this.guarded(() => this.#decide(memories, answered));
  }

  async guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      if (!this.end.absorb(thrown)) this.end.fail(thrown);
    }
  }

  async #decide(memories: readonly DueMemory[], answered: AnsweredBatch | null): Promise<void> {
    const { bankId, signal } = this.options;
    const request = { bankId, runId: this.runId, mission: this.#mission, memories, answered, signal };
    let report: BatchReport;
    try {
      report = await runBatch(this.deps, request);
    } catch (thrown) {
      if (signal.aborted || this.end.absorb(thrown)) {
        this.deps.metrics.batches.inc({ outcome: signal.aborted ? 'handed_back' : 'deferred' });
        return;
      }
      await this.#isolate(memories, thrown);
      return;
    }
    await this.#settle(report);
  }

  async #settle(report: BatchReport): Promise<void> {
    if (report.bankGone) {
      this.end.bankGone();
      return;
    }
    this.tally.addBatch(report);
    this.deps.metrics.batches.inc({ outcome: 'done' });
    // Contention is due again at once (law L3), but once: what loses two batches in a row is not losing to somebody.
    const lostAgain = report.contended.filter((memory) => this.#contended.has(memory.id));
    for (const memory of report.contended) this.#contended.add(memory.id);
    if (lostAgain.length > 0) {
      this.deps.log.warn({ memories: lostAgain.length }, 'memories were decided twice without an end; they rest');
    }
    const resting = [...report.noProgress, ...lostAgain];
    if (resting.length > 0) await postpone(this.deps, this.options.bankId, resting);
  }

  /** The batch itself is the trouble: halves, down to the one memory that is (law L8 leaves the others alone). */
  async #isolate(memories: readonly DueMemory[], thrown: unknown): Promise<void> {
    const { bankId, signal } = this.options;
    this.deps.metrics.batches.inc({ outcome: 'failed' });
    this.deps.log.error({ error: errorMessage(thrown), memories: memories.length }, 'a batch could not be decided');
    const [first] = memories;
    if (!first) return;
    if (memories.length === 1) {
      const blamed = await this.deps.decider.blames(thrown, first.id);
      await (blamed === 'memory' ? postpone : letRest)(this.deps, bankId, memories);
      return;
    }
    const middle = Math.ceil(memories.length / 2);
    for (const half of [memories.slice(0, middle), memories.slice(middle)]) {
      // Also past the end of the slice's time, or each slice would pay for the whole batch again; not into an outage.
      if (this.end.mayFinish && !signal.aborted) await this.#decide(half, null);
    }
  }

  async #history(page: readonly DueMemory[]): Promise<(memoryId: string) => readonly AttemptEnd[]> {
    if (!this.#readsHistory || page.length === 0) return () => [];
    const attempts = await attemptsOf(this.deps.db, this.options.bankId, idsOf(page));
    return (memoryId) =>
      attempts
        .filter((attempt) => attempt.memoryIds.includes(memoryId))
        .map((attempt) => ({ size: attempt.size, crashed: attempt.outcome === 'crashed' }));
  }

  /** Decides, before each selection, whether the slice goes on; says why where it does not. */
  #mayGoOn(): boolean {
    if (this.end.outcome !== null) return false;
    if (this.options.signal.aborted) this.end.say('aborted');
    else if (this.#elapsedMs() >= (this.options.selectForMs ?? defaultSelectForMs)) this.end.say('time_up');
    return this.end.outcome === null;
  }

  /** Whether the decider can decide now: with its endpoint out of order or its budget spent, nothing is even looked up. */
  async isReady(): Promise<boolean> {
    if (!this.#mayGoOn()) return false;
    const retryAt = await this.deps.decider.readyAt();
    if (retryAt === null) return true;
    this.deps.log.info({ retryAt }, 'the decider is not ready; the bank waits');
    this.end.defer(retryAt);
    return false;
  }

  /** Asked before each page of work but the first: two banks that both waited would else hand the turn to each other for ever. */
  async yields(): Promise<boolean> {
    if (await this.options.anotherBankWaits?.()) this.end.say('yielded');
    return this.end.outcome !== null;
  }

  async startRun(): Promise<boolean> {
    if (this.#runStarted) return true;
    const { bankId, trigger } = this.options;
    this.#runStarted = await insertRun(this.deps.db, {
      bankId,
      id: this.runId,
      trigger,
      instanceId: this.deps.instanceId,
    });
    if (!this.#runStarted) this.end.bankGone();
    return this.#runStarted;
  }

  async #finish(): Promise<void> {
    if (!this.#runStarted || this.end.outcome === 'bank_gone') return;
    const outcome = this.end.outcome ?? 'drained';
    const counts = { ...this.tally.counts() };
    await finishRun(this.deps.db, { bankId: this.options.bankId, id: this.runId, outcome, counts }).catch(
      (thrown: unknown) => {
        this.deps.log.warn({ error: errorMessage(thrown) }, 'the end of a run could not be recorded');
      },
    );
  }

  #elapsedMs(): number {
    return this.deps.clock.monotonicMs() - this.#startedMs;
  }

  #report(outcome: SliceOutcome): SliceReport {
    return { runId: this.runId, outcome, counts: this.tally.counts(), retryAt: this.end.retryAt };
  }
}

function idsOf(memories: readonly DueMemory[]): string[] {
  return memories.map((memory) => memory.id);
}
