import type { Clock } from '../telemetry/clock.ts';
import { aborted } from './aborted.ts';
import type { DrainPort, HandOut, QueueName, Workable } from './drain-port.ts';
import type { JsonValue, StepContext } from './step.ts';

/** Of one cycle, over all its interruptions: the other steps are to have their night as well. */
const longestMs = 10 * 60_000;
const lookEveryMs = 1000;
/** What a crash may forget of the time that was used. */
const saveEveryMs = 15_000;
/** A bank that is still there after this long is asked for again, should its job have been lost. */
const askAgainMs = 30_000;
/**
 * Longer than the 30 s that a bank has to be quiet: what was written right before a forced sleep is worked off as well.
 * Whatever else rests for no longer is waited for just as long, and once.
 */
const waitAtMostMs = 35_000;
/** Batches at the model when time is up; they have an answer soon, and would be asked again. */
const graceMs = 20_000;
/** Of the two seconds in which an interrupted step has to be back. */
const callOffMs = 1500;

export interface WorkOffDeps {
  readonly queue: DrainPort;
  readonly clock: Clock;
  /** The clock that times of the queue are of; that of this host may be another one by minutes. */
  readonly databaseNow: () => Promise<Date>;
}

export interface WorkOffPlan {
  /** Whose jobs are handed out. */
  readonly queues: readonly QueueName[];
  /** Makes a bank due now. */
  readonly ask: (bankId: string) => Promise<unknown>;
  /** How much of it there is, for the progress shown. */
  readonly depthOf: (workable: Workable) => number;
  /** What the step keeps beside the time that it has used. */
  readonly keeps: Readonly<Record<string, JsonValue>>;
}

export type WorkOffEnd =
  | { readonly kind: 'over'; readonly left: Workable; readonly workedOff: number }
  | { readonly kind: 'out_of_time'; readonly left: Workable; readonly workedOff: number }
  | { readonly kind: 'deferred' };

/**
 * Works off what is due in some queues, over all banks: hands their jobs out, which nobody else does while the daemon
 * sleeps, until nothing is workable. When it is over nothing is in anybody's hands, so that no later step runs beside it.
 */
export class WorkOff {
  readonly #deps: WorkOffDeps;
  readonly #plan: WorkOffPlan;
  readonly #context: StepContext;
  readonly #startedMs: number;
  readonly #usedBeforeMs: number;
  readonly #askedMs = new Map<string, number>();
  #savedMs: number;
  #restsSinceMs: number | null = null;
  #most = 0;
  #workedOff = 0;

  constructor(deps: WorkOffDeps, plan: WorkOffPlan, context: StepContext) {
    this.#deps = deps;
    this.#plan = plan;
    this.#context = context;
    this.#startedMs = deps.clock.monotonicMs();
    this.#savedMs = this.#startedMs;
    this.#usedBeforeMs = usedIn(context.checkpoint);
  }

  async run(): Promise<WorkOffEnd> {
    const { queue } = this.#deps;
    const { queues } = this.#plan;
    const first = await queue.workable(queues);
    const end = await this.#endOf(first);
    if (end) return end;
    const handOut = queue.openHandOut(queues);
    try {
      return await this.#workOff(first);
    } finally {
      await this.#close(handOut);
    }
  }

  async #workOff(first: Workable): Promise<WorkOffEnd> {
    const { queue, clock } = this.#deps;
    const { queues, keeps } = this.#plan;
    const { signal, save } = this.#context;
    for (let now = first; ; now = await queue.workable(queues)) {
      this.#tell(now);
      const end = await this.#endOf(now);
      if (end) return end;
      await this.#ask(now.banks);
      if (!signal.aborted) await clock.sleep(lookEveryMs, signal);
      const isSaveDue = clock.monotonicMs() - this.#savedMs >= saveEveryMs;
      if (isSaveDue || signal.aborted) await save({ ...keeps, usedMs: this.#usedMs() });
      if (isSaveDue) this.#savedMs = clock.monotonicMs();
      if (signal.aborted) return { kind: 'deferred' };
    }
  }

  /** All banks are asked for at once: whose turn it is, and for how long, the queue knows. */
  async #ask(banks: readonly string[]): Promise<void> {
    const { clock } = this.#deps;
    for (const bankId of banks) {
      if (this.#context.signal.aborted) return;
      const askedMs = this.#askedMs.get(bankId);
      if (askedMs !== undefined && clock.monotonicMs() - askedMs < askAgainMs) continue;
      await this.#plan.ask(bankId);
      this.#askedMs.set(bankId, clock.monotonicMs());
    }
  }

  async #endOf(left: Workable): Promise<WorkOffEnd | null> {
    if (await this.#isOver(left)) return { kind: 'over', left, workedOff: this.#workedOff };
    return this.#usedMs() < longestMs ? null : { kind: 'out_of_time', left, workedOff: this.#workedOff };
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

  #tell(now: Workable): void {
    const depth = this.#plan.depthOf(now);
    this.#most = Math.max(this.#most, depth);
    this.#workedOff = Math.max(this.#workedOff, this.#most - depth);
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
