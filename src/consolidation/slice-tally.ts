import type { BatchReport } from './batch.ts';
import type { OpKind } from './decider.ts';
import type { SliceCounts } from './engine.ts';
import { memoriesOf, type PlannedOp } from './plan.ts';
import type { ReplanReport } from './replan.ts';
import type { ValidatorName } from './validators/validator-name.ts';

/** Adds up what a slice really did; nothing is counted before its transaction has committed. */
export class SliceTally {
  readonly #ops = new Map<OpKind, number>();
  readonly #rejected = new Map<ValidatorName, number>();
  readonly #memories = new Set<string>();
  #batches = 0;
  #replans = 0;
  #proposed = 0;

  addBatch(report: BatchReport): void {
    this.#batches += 1;
    this.#replans += report.replans;
    this.#proposed += report.proposed;
    for (const rejection of report.rejected) increment(this.#rejected, rejection.validator);
    this.#addOps(report.applied);
    for (const op of report.applied) for (const memory of memoriesOf(op)) this.#memories.add(memory.id);
  }

  addReplan(report: ReplanReport): void {
    if (report.missed !== null) this.#replans += 1;
    this.#proposed += report.proposed;
    if (report.heldBack) increment(this.#rejected, 'loss-budget');
    this.#addOps(report.applied);
  }

  counts(): SliceCounts {
    return {
      memories: this.#memories.size,
      batches: this.#batches,
      replans: this.#replans,
      ops: Object.fromEntries(this.#ops),
      rejected: Object.fromEntries(this.#rejected),
      ...(this.#proposed > 0 ? { proposed: this.#proposed } : {}),
    };
  }

  #addOps(ops: readonly PlannedOp[]): void {
    for (const op of ops) increment(this.#ops, op.op);
  }
}

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
