/**
 * The door between consolidation and whatever decides: `rules` or a language model.
 *
 * A decider is shown one batch of one scope under batch-local aliases and answers with operations on those aliases. It
 * sees no ids but those it accounts its calls to, opens no connection and writes nothing to the store of memories; what
 * it answers is judged before anything is applied.
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
  /** Why an earlier answer about these memories was not taken, a sentence each; empty the first time. */
  readonly notes: readonly string[];
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
  /** Elements of the answer that are no operations; the others are judged all the same. */
  readonly malformed?: readonly { readonly memories: readonly Alias[]; readonly reason: string }[];
}

/** One text beside another of the same scope; `held` is what the store says, `offered` what is about to be written. */
export interface PairToJudge {
  readonly held: { readonly text: string; readonly validFrom: Date | null };
  readonly offered: { readonly text: string; readonly validFrom: Date | null };
  readonly similarity: number;
}

export type Verdict = 'same' | 'different' | 'supersedes' | 'superseded_by' | 'contradicts';

export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
}

/** An observation one of whose sources changed or went, to be said again from what is left. */
export interface RewriteRequest {
  readonly text: string;
  /** Live sources only, oldest first; at least one. */
  readonly sources: readonly { readonly text: string; readonly mentionedAt: Date | null }[];
}

/** How much a batch may hold so that it fits the decider. */
export interface BatchLimits {
  readonly memories: number;
  readonly memoryTokens: number;
  readonly observationTokens: number;
  readonly tokensOf: (text: string) => number;
}

/** Whom a call is for and what it may cost. */
export interface DecideOptions {
  readonly signal: AbortSignal;
  readonly bankId: string;
  /** Memories and observations whose texts the call holds. */
  readonly subjectIds: readonly string[];
  /** Tags that all of it has: a verdict of one scope is not used in another. */
  readonly scope?: readonly string[] | undefined;
  /** Told, and awaited, before a request that costs money is sent; its hash finds the answer again after a crash. */
  readonly onRequest?: ((requestHash: Buffer) => Promise<void>) | undefined;
  /** Of a batch that died: an answer stored under this hash is taken instead of asking. */
  readonly answeredBefore?: Buffer | undefined;
}

export interface Decider {
  /**
   * Stored on every change set and memory, e.g. `rules/1` or `llm/1 gpt-5-mini`: differs when the same input may be
   * decided otherwise.
   */
  readonly name: string;
  /** Whether a decision costs money or time elsewhere: then requests are recorded before they are sent and verdicts kept. */
  readonly asksModel: boolean;
  /** Read before each packing: a model's own figures get better as it answers. */
  readonly limits: BatchLimits;
  /** Whether `propose` looks at the sources of observations; else they are not fetched, which is half of a recall's cost. */
  readonly readsSources: boolean;
  propose(batch: Batch, options: DecideOptions): Promise<Proposal>;
  /** `admissible` is what the value guard left; the answer is one of it. */
  adjudicate(pair: PairToJudge, admissible: readonly Verdict[], options: DecideOptions): Promise<Judgement>;
  /** The new text and why. The same text back means: nothing to rewrite. */
  rewrite(request: RewriteRequest, options: DecideOptions): Promise<{ readonly text: string; readonly reason: string }>;
  /** Null: it can decide now. Else when to look again: its endpoint is out of order, or the budget is spent. */
  readyAt(): Promise<Date | null>;
  /**
   * Whom to blame for a failure over one memory, observation or pair alone: an error is its own only if the decider has
   * come to an answer about another one since, or since it failed before (law L8).
   *
   * @param about the id of the memory or observation, or whatever names the pair
   */
  blames(thrown: unknown, about: string): Promise<'memory' | 'model'>;
}
