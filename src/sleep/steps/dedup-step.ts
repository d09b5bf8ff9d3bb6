import { z } from 'zod';
import type { ConsolidationEngine, SweepReport } from '../../consolidation/engine.ts';
import type { Database } from '../../db/database.ts';
import { nextChangedBank } from '../../store/changed-banks.ts';
import type { NeighbourLists } from '../../store/neighbours/neighbour-lists.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { SleepStep, StepContext, StepEnd } from '../step.ts';

/** Pairs before the next bank has its turn. */
const pairsEachTurn = 500;
/** Banks one after the other that fail: it is not the banks. */
const mostFailuresInARow = 3;

/** How far the step is. What has been seen of a bank is its own mark's to say. */
const checkpointSchema = z.strictObject({
  /** Banks up to this one, by name, have had their first turn. */
  after: z.string(),
  /** Those of them that need another. */
  unfinished: z.array(z.string()),
  banks: z.int(),
  rows: z.int(),
  folds: z.int(),
  proposed: z.int(),
});
type Checkpoint = z.output<typeof checkpointSchema>;

export interface DedupStepDeps {
  readonly db: Database;
  readonly engine: Pick<ConsolidationEngine, 'sweepDuplicates'>;
  readonly neighbours: NeighbourLists;
  readonly log: Log;
}

/**
 * Folds observations that say the same, in every bank that changed. Banks take turns: one of a hundred thousand
 * observations does not keep the others waiting. Nor does one that fails; the step fails after the others had theirs.
 */
export function createDedupStep(deps: DedupStepDeps): SleepStep {
  return { name: 'dedup', run: (context) => new DedupRun(deps, context).run() };
}

class DedupRun {
  readonly #deps: DedupStepDeps;
  readonly #context: StepContext;
  #at: Checkpoint;
  #failure: { readonly thrown: unknown } | null = null;
  #failuresInARow = 0;
  /** When something can be decided again; null: now. */
  #closedUntil: Date | null = null;

  constructor(deps: DedupStepDeps, context: StepContext) {
    this.#deps = deps;
    this.#context = context;
    // One of another build: from the beginning, which costs a look at each bank.
    const beginning = { after: '', unfinished: [], banks: 0, rows: 0, folds: 0, proposed: 0 };
    this.#at = checkpointSchema.safeParse(context.checkpoint).data ?? beginning;
  }

  async run(): Promise<StepEnd> {
    await this.#firstTurns();
    while (!this.#isOver() && this.#at.unfinished.length > 0) {
      const [bankId = '', ...rest] = this.#at.unfinished;
      await this.#turn(bankId, (needsMore) => ({ unfinished: needsMore ? [...rest, bankId] : rest }));
    }
    if (this.#context.signal.aborted) return { kind: 'deferred' };
    if (this.#failure !== null) throw this.#failure.thrown;
    return { kind: 'done', note: this.#note() };
  }

  async #firstTurns(): Promise<void> {
    while (!this.#isOver()) {
      // Read anew for each turn: what is deleted meanwhile has none.
      const id = await nextChangedBank(this.#deps.db, 'sweep_marks', { after: this.#at.after });
      if (id === null) return;
      await this.#turn(id, (needsMore) => ({
        after: id,
        banks: this.#at.banks + 1,
        unfinished: needsMore ? [...this.#at.unfinished, id] : this.#at.unfinished,
      }));
    }
  }

  #isOver(): boolean {
    return this.#context.signal.aborted || this.#closedUntil !== null || this.#failuresInARow >= mostFailuresInARow;
  }

  /** @param then what a turn that was not cut short makes of the place */
  async #turn(bankId: string, then: (needsMore: boolean) => Partial<Checkpoint>): Promise<void> {
    const { signal } = this.#context;
    const report = await this.#sweep(bankId);
    if (report === null) {
      // Looked at again by the next cycle.
      if (!signal.aborted) this.#at = { ...this.#at, ...then(false) };
      return;
    }
    this.#closedUntil = report.retryAt;
    const isCutShort = report.outcome === 'deferred' && (signal.aborted || report.retryAt !== null);
    // A fold that missed keeps the mark where it is: another turn would begin at the same place.
    const needsMore = report.outcome === 'deferred' && report.missed === 0;
    const { rows, folds, proposed } = this.#at;
    const sums = { rows: rows + report.rows, folds: folds + report.folds, proposed: proposed + report.proposed };
    this.#at = { ...this.#at, ...sums };
    if (!isCutShort) this.#at = { ...this.#at, ...then(needsMore) };
    this.#context.progress(this.#at.banks, null, `${this.#at.rows} observations, ${this.#cameTo()}`);
    // What has not come further is not kept as if it had: the cycle tells by this whether the step gets on.
    if (report.rows + report.folds + report.proposed > 0) await this.#context.save(this.#at);
  }

  /** Null: it failed, or was interrupted. */
  async #sweep(bankId: string): Promise<SweepReport | null> {
    const { engine, neighbours, log } = this.#deps;
    const { signal } = this.#context;
    try {
      const report = await engine.sweepDuplicates({ bankId, signal, neighbours, limit: pairsEachTurn });
      this.#failuresInARow = 0;
      return report;
    } catch (thrown) {
      if (signal.aborted) return null;
      log.warn({ bankId, error: errorMessage(thrown) }, 'the search for duplicates failed in a bank');
      this.#failure ??= { thrown };
      this.#failuresInARow += 1;
      return null;
    }
  }

  /** Where folds are for a person to decide on, none is done. */
  #cameTo(): string {
    const { folds, proposed } = this.#at;
    const folded = `${folds} folded`;
    if (proposed === 0) return folded;
    return folds === 0 ? `${proposed} proposed` : `${folded}, ${proposed} proposed`;
  }

  #note(): string {
    const { rows } = this.#at;
    const done = rows === 0 ? 'nothing had changed' : `${this.#cameTo()}, ${rows} observations looked at`;
    if (this.#closedUntil === null) return done;
    return `${done}; the rest waits: nothing can be decided before ${this.#closedUntil.toISOString()}`;
  }
}
