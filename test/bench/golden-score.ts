import type { Batch, Decider, ProposedOp } from '../../src/consolidation/decider.ts';
import { validateProposal } from '../../src/consolidation/validators/validate-proposal.ts';
import { GOLDEN_KINDS, type GoldenKind, type GoldenPair, goldenTimeMs } from '../golden/golden-pairs.ts';

export interface KindScore {
  readonly kind: GoldenKind;
  readonly pairs: number;
  /** The op is the label's; `keep-both` is a create, superseded on arrival only where the pair arrived late. */
  readonly correct: number;
  /** Duplicates that became a reinforce or revise, updates that became a supersede. Null for kinds that seek neither. */
  readonly found: number | null;
  readonly falseFolds: number;
  readonly falseSupersedes: number;
  readonly falseConflicts: number;
  /** Ops that the validators refused. */
  readonly refused: number;
  /** Ids of the pairs that are not correct. */
  readonly missed: readonly string[];
}

export interface Bound {
  readonly about: string;
  readonly holds: boolean;
  readonly measured: string;
}

/** Two memories that both are true and alike: to fold or supersede one of them loses a fact. */
export const twinKinds: readonly GoldenKind[] = ['number-twin', 'date-twin', 'negation', 'person-twin'];
const duplicateKinds: readonly GoldenKind[] = ['exact-duplicate', 'case-duplicate', 'word-order-duplicate'];
const updateKinds: readonly GoldenKind[] = ['dated-update', 'changed-preference'];
const leastDuplicates = 0.7;
const leastUpdates = 0.5;

type Outcome = 'reinforce' | 'revise' | 'supersede' | 'late' | 'conflict' | 'keep-both' | 'skip' | 'refused';

/**
 * Shows the decider each pair as a batch of its own: `a` is held as o1 since its time, `b` comes in as m1.
 *
 * @param vectors by text, for every text of the pairs.
 */
export async function scoreGolden(
  decider: Decider,
  pairs: readonly GoldenPair[],
  vectors: ReadonlyMap<string, Float32Array>,
): Promise<KindScore[]> {
  const outcomes = new Map<string, Outcome>();
  for (const pair of pairs) outcomes.set(pair.id, await outcomeOf(decider, pair, vectors));
  return GOLDEN_KINDS.map((kind) => {
    const ofKind = pairs.filter((pair) => pair.kind === kind).map((pair) => ({ pair, outcome: outcomes.get(pair.id) }));
    const count = (test: (one: (typeof ofKind)[number]) => boolean) => ofKind.filter(test).length;
    const seeks = ofKind.some(({ pair }) => wanted(pair).length > 0);
    return {
      kind,
      pairs: ofKind.length,
      correct: count(({ pair, outcome }) => isCorrect(pair, outcome)),
      found: seeks ? count(({ pair, outcome }) => outcome !== undefined && wanted(pair).includes(outcome)) : null,
      falseFolds: count(({ pair, outcome }) => isFold(outcome) && !isFold(pair.label)),
      falseSupersedes: count(
        ({ pair, outcome }) =>
          (outcome === 'supersede' && pair.label !== 'supersede') ||
          (outcome === 'late' && pair.kind !== 'late-arrival'),
      ),
      falseConflicts: count(({ pair, outcome }) => outcome === 'conflict' && pair.label !== 'conflict'),
      refused: count(({ outcome }) => outcome === 'refused'),
      missed: ofKind.filter(({ pair, outcome }) => !isCorrect(pair, outcome)).map(({ pair }) => pair.id),
    };
  });
}

/** The bounds that every release keeps, on either part. */
export function boundsOf(scores: readonly KindScore[]): Bound[] {
  const sum = (kinds: readonly GoldenKind[], figure: (score: KindScore) => number) =>
    scores.filter(({ kind }) => kinds.includes(kind)).reduce((total, score) => total + figure(score), 0);
  const share = (kinds: readonly GoldenKind[], least: number, about: string): Bound => {
    const [found, all] = [sum(kinds, (score) => score.found ?? 0), sum(kinds, (score) => score.pairs)];
    return { about, holds: found >= all * least, measured: `${found} of ${all}` };
  };
  const none = (figure: (score: KindScore) => number, about: string): Bound => {
    const count = sum(twinKinds, figure);
    return { about, holds: count === 0, measured: String(count) };
  };
  return [
    none((score) => score.falseFolds, 'no false fold on number, date, negation and person twins'),
    none((score) => score.falseSupersedes, 'no false supersede on number, date, negation and person twins'),
    share(duplicateKinds, leastDuplicates, 'at least 70 % of exact, case and word-order duplicates found'),
    share(updateKinds, leastUpdates, 'at least 50 % of dated updates and changed preferences found'),
  ];
}

async function outcomeOf(
  decider: Decider,
  pair: GoldenPair,
  vectors: ReadonlyMap<string, Float32Array>,
): Promise<Outcome> {
  const batch = batchOf(pair, vectors);
  const proposal = await decider.propose(batch, {
    signal: new AbortController().signal,
    bankId: 'golden',
    subjectIds: [],
  });
  const judged = validateProposal(batch, proposal);
  const [op] = judged.accepted;
  return judged.rejected.length > 0 || !op ? 'refused' : outcomeOfOp(op);
}

function outcomeOfOp(op: ProposedOp): Outcome {
  switch (op.op) {
    case 'create':
      return op.supersededBy === undefined ? 'keep-both' : 'late';
    case 'reinforce':
    case 'revise':
    case 'supersede':
    case 'conflict':
    case 'skip':
      return op.op;
    case 'fold':
    case 'retire':
      return 'refused';
    default:
      return op satisfies never;
  }
}

function batchOf({ a, b }: GoldenPair, vectors: ReadonlyMap<string, Float32Array>): Batch {
  const date = (ms: number | null) => (ms === null ? null : new Date(ms));
  const vectorOf = (text: string) => {
    const vector = vectors.get(text);
    if (!vector) throw new Error('a golden text has no vector');
    return vector;
  };
  const occurred = (side: GoldenPair['a']) =>
    side.occurred_start === undefined ? null : new Date(side.occurred_start);
  return {
    mission: '',
    memories: [
      {
        alias: 'm1',
        text: b.text,
        context: b.context ?? null,
        occurredStart: occurred(b),
        occurredEnd: null,
        mentionedAt: b.mentioned_at === undefined ? null : new Date(b.mentioned_at),
        embedding: vectorOf(b.text),
      },
    ],
    notes: [],
    observations: [
      {
        alias: 'o1',
        text: a.text,
        validFrom: date(goldenTimeMs(a)),
        occurredStart: occurred(a),
        occurredEnd: null,
        embedding: vectorOf(a.text),
        sources: [{ text: a.text, mentionedAt: a.mentioned_at === undefined ? null : new Date(a.mentioned_at) }],
      },
    ],
  };
}

function isFold(outcome: string | undefined): boolean {
  return outcome === 'reinforce' || outcome === 'revise';
}

function wanted(pair: GoldenPair): readonly Outcome[] {
  if (isFold(pair.label)) return ['reinforce', 'revise'];
  return pair.label === 'supersede' ? ['supersede'] : [];
}

function isCorrect(pair: GoldenPair, outcome: Outcome | undefined): boolean {
  return outcome === pair.label || (pair.kind === 'late-arrival' && outcome === 'late');
}
