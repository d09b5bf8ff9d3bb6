/**
 * The door between consolidation and whatever decides: `rules` here, a language model later.
 *
 * A decider is shown one batch of one scope under batch-local aliases and answers with operations on those aliases. It
 * sees no ids, opens no connection and writes nothing; what it answers is judged before anything is applied.
 */

/** `m1`… for memories of the batch, `o1`… for observations shown, `n1`… for observations that this answer creates. */
export type Alias = string;

export interface BatchMemory {
  readonly alias: Alias;
  readonly text: string;
  readonly context: string | null;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly mentionedAt: Date | null;
  readonly embedding: Float32Array;
}

export interface BatchObservation {
  readonly alias: Alias;
  readonly text: string;
  /** From when on the text holds, where a source told; null: undatable. */
  readonly validFrom: Date | null;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly embedding: Float32Array;
  /** A few of the memories it rests on, newest first; none for a decider that does not read them. */
  readonly sources: readonly { readonly text: string; readonly mentionedAt: Date | null }[];
}

export interface Batch {
  readonly mission: string;
  /** Oldest first. All of one scope. */
  readonly memories: readonly BatchMemory[];
  /** Live roots of the same scope. */
  readonly observations: readonly BatchObservation[];
}

/** An observation shown, or one created by an earlier operation of the same answer. */
type Target = Alias;

export type ProposedOp =
  /** A fact that is not there yet. `supersededBy` names the newer value it lost to before it arrived. */
  | {
      readonly op: 'create';
      readonly as: Alias;
      readonly text: string;
      readonly memories: readonly Alias[];
      readonly validFrom: Date | null;
      readonly supersededBy?: Target;
      readonly reason: string;
    }
  /** The memories say what the target says already; its text stays. */
  | { readonly op: 'reinforce'; readonly target: Target; readonly memories: readonly Alias[]; readonly reason: string }
  /** The target says it less well or less fully; its text is replaced and it keeps its identity. */
  | {
      readonly op: 'revise';
      readonly target: Target;
      readonly text: string;
      readonly memories: readonly Alias[];
      readonly reason: string;
    }
  /** True then, not now: the target gets an end, the new text a beginning. */
  | {
      readonly op: 'supersede';
      readonly target: Target;
      readonly as: Alias;
      readonly text: string;
      readonly memories: readonly Alias[];
      readonly validFrom: Date | null;
      readonly reason: string;
    }
  /** Both cannot hold and nothing tells which does: both stay, flagged. */
  | {
      readonly op: 'conflict';
      readonly target: Target;
      readonly as: Alias;
      readonly text: string;
      readonly memories: readonly Alias[];
      readonly validFrom: Date | null;
      readonly reason: string;
    }
  /** Two observations say the same: `target` becomes reachable through `into`. */
  | { readonly op: 'fold'; readonly target: Target; readonly into: Target; readonly reason: string }
  | { readonly op: 'retire'; readonly target: Target; readonly reason: string }
  /** Nothing worth keeping beyond the raw memory. */
  | { readonly op: 'skip'; readonly memories: readonly Alias[]; readonly reason: string };

export type OpKind = ProposedOp['op'];

export interface Proposal {
  /** In the order in which they are to take effect. Every memory of the batch is named by at least one. */
  readonly ops: readonly ProposedOp[];
}

/** One text beside another of the same scope; `held` is what the store says, `offered` what is about to be written. */
export interface PairToJudge {
  readonly held: { readonly text: string; readonly validFrom: Date | null };
  readonly offered: { readonly text: string; readonly validFrom: Date | null };
  readonly similarity: number;
}

export type Verdict = 'same' | 'different' | 'supersedes' | 'superseded_by' | 'contradicts';

/** An observation one of whose sources changed or went, to be said again from what is left. */
export interface RewriteRequest {
  readonly text: string;
  /** Live sources only, oldest first; at least one. */
  readonly sources: readonly { readonly text: string; readonly mentionedAt: Date | null }[];
}

export interface Decider {
  /** Stored on every change set, e.g. `rules/1`: grows when the same input may be decided otherwise. */
  readonly name: string;
  /** Whether `propose` looks at the sources of observations; else they are not fetched, which is half of a recall's cost. */
  readonly readsSources: boolean;
  propose(batch: Batch, options: { readonly signal: AbortSignal }): Promise<Proposal>;
  /** `admissible` is what the value guard left; the answer is one of it. */
  adjudicate(
    pair: PairToJudge,
    admissible: readonly Verdict[],
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly verdict: Verdict; readonly reason: string }>;
  /** The new text and which sources carry it (indexes into `sources`). The same text back means: nothing to rewrite. */
  rewrite(
    request: RewriteRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly text: string; readonly reason: string }>;
}
