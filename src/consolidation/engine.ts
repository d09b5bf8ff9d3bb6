import type { NeighbourLists } from '../store/neighbours/neighbour-lists.ts';
import type { OpKind, ProposedOp } from './decider.ts';
import type { ValidatorName } from './validators/validator-name.ts';

/** Why a slice ended. Only `drained` says that nothing due was left when it looked last. */
export type SliceOutcome =
  /** No due row is left. */
  | 'drained'
  /** Its time was up; a successor goes on. */
  | 'time_up'
  /** Another bank waits; a successor goes on behind it. */
  | 'yielded'
  /** An outside service failed; the successor waits until `retryAt`. */
  | 'deferred'
  /** The caller's signal ended it; batches in flight were handed back. */
  | 'aborted'
  /** The bank was deleted meanwhile. */
  | 'bank_gone';

export interface SliceCounts {
  readonly memories: number;
  readonly batches: number;
  readonly replans: number;
  readonly ops: Readonly<Partial<Record<OpKind, number>>>;
  readonly rejected: Readonly<Partial<Record<ValidatorName, number>>>;
  /** Ops that wait for a person, where there are any. */
  readonly proposed?: number;
}

export interface SliceReport {
  readonly runId: string;
  readonly outcome: SliceOutcome;
  readonly counts: SliceCounts;
  /** Set where the outcome is `deferred`. */
  readonly retryAt: Date | null;
}

export interface SliceOptions {
  readonly bankId: string;
  /** Kept on the run: `hint`, `reconciler`, `requested`, `successor`. */
  readonly trigger: string;
  readonly signal: AbortSignal;
  /** No batch is selected after this long; those in flight finish. Default 60,000. */
  readonly selectForMs?: number;
  /** Asked between batches: true ends the slice as `yielded`. */
  readonly anotherBankWaits?: () => Promise<boolean>;
}

/** What a run would do, with nothing written. */
export interface DryRunReport {
  readonly memories: number;
  readonly ops: readonly {
    readonly op: ProposedOp['op'];
    readonly before: string | null;
    readonly after: string | null;
    readonly sources: readonly string[];
    readonly reason: string;
  }[];
  readonly rejected: readonly { readonly validator: ValidatorName; readonly reason: string }[];
  /** Batches that came to no answer, by the texts of their memories: a run halves them until it knows which one it is. */
  readonly undecided: readonly { readonly memories: readonly string[]; readonly reason: string }[];
  /** Calls of the model that were paid for; the run over the same batches uses their answers. */
  readonly calls: number;
  /** What they cost; 0 for a model without a known price. */
  readonly costUsd: number;
}

export interface ContradictionsReport {
  /** `deferred`: there is more to look at, from where it came to; at `retryAt` where something outside failed. */
  readonly outcome: 'done' | 'deferred';
  readonly retryAt: Date | null;
  /** Put before the decider. */
  readonly pairs: number;
  readonly conflicts: number;
}

export interface SweepRequest {
  readonly bankId: string;
  readonly signal: AbortSignal;
  readonly neighbours: NeighbourLists;
  /** Pairs to put before the decider; default: all there are. Up to eighty more, since a page is looked at as a whole. */
  readonly limit?: number;
}

export interface SweepReport {
  /** `deferred`: there is more to look at, from where it came to; at `retryAt` where something outside failed. */
  readonly outcome: 'done' | 'deferred';
  readonly retryAt: Date | null;
  /** Observations that it has come past. */
  readonly rows: number;
  /** Put before the decider. */
  readonly pairs: number;
  /** Done. */
  readonly folds: number;
  /** In review mode: folds that wait for a person. */
  readonly proposed: number;
  /** Folds that something was in the way of by then: looked at again by the next sweep, which begins there. */
  readonly missed: number;
}

export interface ConsolidationEngine {
  /** Works off the due rows of one bank. Throws only for what no retry by rows can mend (the database is gone). */
  runSlice(options: SliceOptions): Promise<SliceReport>;
  /** Proposes for at most `limit` due memories (default 50) and rolls nothing back because nothing is written. */
  dryRun(bankId: string, options: { readonly signal: AbortSignal; readonly limit?: number }): Promise<DryRunReport>;
  /** Lists observations that cannot both hold, among what changed since the last search (DESIGN §7). */
  findContradictions(request: {
    readonly bankId: string;
    readonly signal: AbortSignal;
    readonly limit?: number;
  }): Promise<ContradictionsReport>;
  /** Folds observations that say the same, among what changed since the last sweep (DESIGN §7). */
  sweepDuplicates(request: SweepRequest): Promise<SweepReport>;
}
