import type { Clock } from '../../telemetry/clock.ts';
import { aborted } from '../aborted.ts';
import type { DrainPort, HandOut, Workable } from '../drain-port.ts';
import type { JsonValue, SleepStep, StepContext, StepEnd } from '../step.ts';

/** Of one cycle, over all its interruptions: the other steps are to have their night as well. */
const longestMs = 10 * 60_000;
const lookEveryMs = 1000;
/** What a crash may forget of the time that was used. */
const saveEveryMs = 15_000;
/** A bank that is still there after this long is asked for again, should its job have been lost. */
const askAgainMs = 30_000;
/**
 * Longer than the 30 s that a bank has to be quiet: what was written right before a forced sleep is drained as well.
 * Whatever else rests for no longer is waited for just as long, and once.
 */
const waitAtMostMs = 35_000;
/** Batches at the model when time is up; they have an answer soon, and would be asked again. */
const graceMs = 20_000;
/** Of the two seconds in which an interrupted step has to be back. */
const callOffMs = 1500;

interface DrainDeps {
  readonly queue: DrainPort;
  readonly clock: Clock;
  /** The clock that times of the queue are of; that of this host may be another one by minutes. */
  readonly databaseNow: () => Promise<Date>;
}

/**
 * Works off what is due, over all banks: hands jobs out, which nobody else does while the daemon sleeps, until nothing
 * is workable. When it is over nothing is in anybody's hands, so that no later step runs beside a slice.
 */
export function createDrainStep(deps: DrainDeps): SleepStep {
  return { name: 'drain', run: (context) => new Drain(deps, context).run() };
}

class Drain {
  readonly #deps: DrainDeps;
  readonly #context: StepContext;
  readonly #startedMs: number;
  readonly #usedBeforeMs: number;
  readonly #askedMs = new Map<string, number>();
  #savedMs: number;
  #restsSinceMs: number | null = null;
  #most = 0;
  #workedOff = 0;

  constructor(deps: DrainDeps, context: StepContext) {
    this.#deps = deps;
    this.#context = context;
    this.#startedMs = deps.clock.monotonicMs();
    this.#savedMs = this.#startedMs;
    this.#usedBeforeMs = usedIn(context.checkpoint);
  }

  async run(): Promise<StepEnd> {
    const { queue } = this.#deps;
    const first = await queue.workable();
    if (await this.#isOver(first)) return done(first, this.#workedOff);
    if (this.#usedMs() >= longestMs) return outOfTime(first);
    const handOut = queue.openHandOut();
    try {
      return await this.#drain(first);
    } finally {
      await this.#close(handOut);
    }
  }

  async #drain(first: Workable): Promise<StepEnd> {
    const { queue, clock } = this.#deps;
    const { signal, save } = this.#context;
    for (let now = first; ; now = await queue.workable()) {
      this.#tell(now);
      if (await this.#isOver(now)) return done(now, this.#workedOff);
      if (this.#usedMs() >= longestMs) return outOfTime(now);
      await this.#ask(now.banks);
      if (!signal.aborted) await clock.sleep(lookEveryMs, signal);
      const isSaveDue = clock.monotonicMs() - this.#savedMs >= saveEveryMs;
      if (isSaveDue || signal.aborted) await save({ usedMs: this.#usedMs() });
      if (isSaveDue) this.#savedMs = clock.monotonicMs();
      if (signal.aborted) return { kind: 'deferred' };
    }
  }

  /** All banks are asked for at once: whose turn it is, and for how long, the queue knows. */
  async #ask(banks: readonly string[]): Promise<void> {
    const { queue, clock } = this.#deps;
    for (const bankId of banks) {
      if (this.#context.signal.aborted) return;
      const askedMs = this.#askedMs.get(bankId);
      if (askedMs !== undefined && clock.monotonicMs() - askedMs < askAgainMs) continue;
      await queue.requestConsolidation(bankId);
      this.#askedMs.set(bankId, clock.monotonicMs());
    }
  }

  /** Nothing is workable and nothing in hand, nor will it be in a moment. */
  async #isOver({ rows, jobsActive, nextAt }: Workable): Promise<boolean> {
    const { clock, databaseNow } = this.#deps;
    if (rows > 0 || jobsActive > 0) {
      this.#restsSinceMs = null;
      return false;
    }
    if (nextAt === null || nextAt.getTime() - (await databaseNow()).getTime() > waitAtMostMs) return true;
    this.#restsSinceMs ??= clock.monotonicMs();
    return clock.monotonicMs() - this.#restsSinceMs >= waitAtMostMs;
  }

  #tell({ rows }: Workable): void {
    this.#most = Math.max(this.#most, rows);
    this.#workedOff = Math.max(this.#workedOff, this.#most - rows);
    this.#context.progress(this.#workedOff, this.#most);
  }

  async #close(handOut: HandOut): Promise<void> {
    const { signal } = this.#context;
    const over = new AbortController();
    const hurry = aborted(signal, over.signal).then(() => this.#deps.clock.sleep(callOffMs, over.signal));
    await Promise.race([handOut.close({ graceMs: signal.aborted ? 0 : graceMs }), hurry]);
    over.abort();
  }

  #usedMs(): number {
    return this.#usedBeforeMs + this.#deps.clock.monotonicMs() - this.#startedMs;
  }
}

function usedIn(checkpoint: JsonValue): number {
  if (typeof checkpoint !== 'object' || checkpoint === null || !('usedMs' in checkpoint)) return 0;
  return typeof checkpoint.usedMs === 'number' ? checkpoint.usedMs : 0;
}

function done({ heldBy }: Workable, workedOff: number): StepEnd {
  const worked = workedOff > 0 ? `${workedOff} rows worked off` : null;
  if (heldBy === null) return worked === null ? { kind: 'done' } : { kind: 'done', note: worked };
  const held = `nothing workable is left: ${heldBy}`;
  return { kind: 'done', note: worked === null ? held : `${worked}; ${held}` };
}

function outOfTime({ rows }: Workable): StepEnd {
  return { kind: 'done', note: `ten minutes were not enough: ${rows} rows are left` };
}
