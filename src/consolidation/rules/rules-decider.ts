import { cosine } from '../cosine.ts';
import type {
  Alias,
  Batch,
  BatchMemory,
  Decider,
  PairToJudge,
  Proposal,
  ProposedOp,
  RewriteRequest,
  Verdict,
} from '../decider.ts';
import { batchLimits } from '../packing.ts';
import { judgeRead, type PairJudgement, type PairLabel, type ReadText, readText } from './judge-pair.ts';
import { rewriteFromSources } from './rewrite.ts';
import { smallTalk } from './small-talk.ts';

/** Grows when the same input may be decided otherwise. */
const name = 'rules/1';

/**
 * The decider without a model: costs nothing, needs no network, gives the same answer for the same input. It changes what is
 * held only where it can be sure from the words themselves and keeps both otherwise; it is the baseline for every model.
 */
export function createRulesDecider(): Decider {
  const read = rememberedReadings();
  return {
    name,
    asksModel: false,
    limits: batchLimits,
    readsSources: false,
    async propose(batch, { signal }) {
      signal.throwIfAborted();
      return proposeByRules(batch, read);
    },
    async adjudicate(pair, admissible, { signal }) {
      signal.throwIfAborted();
      return adjudicateByRules(pair, admissible);
    },
    async rewrite(request: RewriteRequest, { signal }) {
      signal.throwIfAborted();
      return rewriteFromSources(request);
    },
    readyAt: () => Promise.resolve(null),
    // Nothing outside can have failed.
    blames: () => Promise.resolve('memory'),
  };
}

/** How many texts stay read: the observations around a bank's newest memories come back batch after batch. */
const readingsKept = 2_000;
/** Longer ones are read anew each time: two thousand of 16 KB would be a gigabyte. */
const longestKept = 1_000;

type Read = (text: string, validFrom: Date | null) => ReadText;

function rememberedReadings(): Read {
  const readings = new Map<string, ReadText>();
  return (text, validFrom) => {
    if (text.length > longestKept) return readText({ text, validFrom });
    const key = `${validFrom?.getTime() ?? ''} ${text}`;
    const reading = readings.get(key) ?? readText({ text, validFrom });
    // Last used goes last; what has not been used for longest goes first.
    readings.delete(key);
    readings.set(key, reading);
    const [oldest] = readings.keys();
    if (readings.size > readingsKept && oldest !== undefined) readings.delete(oldest);
    return reading;
  };
}

/** An observation as this answer has it so far: shown, or created by an earlier operation. */
interface Standing {
  readonly alias: Alias;
  read: ReadText;
  embedding: Float32Array;
}

type CreateOp = Extract<ProposedOp, { op: 'create' }>;

function proposeByRules(batch: Batch, readingOf: Read): Proposal {
  const ops: ProposedOp[] = [];
  const standing: Standing[] = batch.observations.map(({ alias, text, validFrom, embedding }) => ({
    alias,
    read: readingOf(text, validFrom),
    embedding,
  }));
  // Created as already superseded: no live root, so nothing can be linked to it but in the operation itself.
  const past: { read: ReadText; op: CreateOp; at: number }[] = [];
  let created = 0;

  for (const memory of batch.memories) {
    const ignored = smallTalk(memory.text);
    if (ignored !== null) {
      ops.push({ op: 'skip', memories: [memory.alias], reason: ignored });
      continue;
    }
    const read = readingOf(memory.text, dateOf(memory));
    const known = past.find((one) => judgeRead(one.read, read, 1).label === 'reinforce');
    if (known) {
      known.op = { ...known.op, memories: [...known.op.memories, memory.alias] };
      ops[known.at] = known.op;
      continue;
    }
    const found = bestOf(standing, memory, read);
    const op = opFor(memory, read, found, () => `n${++created}`);
    ops.push(op);
    takeEffect(op, { standing, past, read, readingOf, embedding: memory.embedding, at: ops.length - 1 });
  }
  return { ops };
}

function dateOf(memory: BatchMemory): Date | null {
  return memory.occurredStart ?? memory.mentionedAt;
}

interface Found {
  readonly target: Standing;
  readonly judgement: PairJudgement;
  readonly similarity: number;
}

/** The order in which relations win: what says the same counts before what says something else. */
const precedence: Readonly<Record<PairLabel, number>> = {
  reinforce: 5,
  revise: 4,
  supersede: 3,
  'superseded-by': 2,
  conflict: 1,
  'keep-both': 0,
};

function bestOf(standing: readonly Standing[], memory: BatchMemory, read: ReadText): Found | null {
  let best: Found | null = null;
  for (const target of standing) {
    const similarity = cosine(target.embedding, memory.embedding);
    const judgement = judgeRead(target.read, read, similarity);
    if (judgement.label === 'keep-both') continue;
    const found = { target, judgement, similarity };
    if (!best || outranks(found, best)) best = found;
  }
  return best;
}

/** Of several values to supersede the latest: the others were superseded by it, or contradict it already. */
function outranks(one: Found, other: Found): boolean {
  const rank = precedence[one.judgement.label] - precedence[other.judgement.label];
  if (rank !== 0) return rank > 0;
  const date = (found: Found) => found.target.read.validFrom?.getTime() ?? Number.NEGATIVE_INFINITY;
  const dated = one.judgement.label === 'supersede' || one.judgement.label === 'superseded-by';
  if (dated && date(one) !== date(other)) return date(one) > date(other);
  return one.similarity > other.similarity;
}

function opFor(memory: BatchMemory, read: ReadText, found: Found | null, newAlias: () => Alias): ProposedOp {
  const memories = [memory.alias];
  const { text, validFrom } = read;
  if (!found) return { op: 'create', as: newAlias(), text, memories, validFrom, reason: 'nothing held says this' };
  const target = found.target.alias;
  const { label, reason } = found.judgement;
  switch (label) {
    case 'reinforce':
      return { op: 'reinforce', target, memories, reason };
    case 'revise':
      return { op: 'revise', target, text, memories, reason };
    case 'supersede':
      return { op: 'supersede', target, as: newAlias(), text, memories, validFrom, reason };
    case 'superseded-by':
      return { op: 'create', as: newAlias(), text, memories, validFrom, supersededBy: target, reason };
    case 'conflict':
      return { op: 'conflict', target, as: newAlias(), text, memories, validFrom, reason };
    case 'keep-both':
      return { op: 'create', as: newAlias(), text, memories, validFrom, reason };
    default:
      return label satisfies never;
  }
}

function takeEffect(
  op: ProposedOp,
  state: {
    readonly standing: Standing[];
    readonly past: { read: ReadText; op: CreateOp; at: number }[];
    readonly read: ReadText;
    readonly readingOf: Read;
    readonly embedding: Float32Array;
    readonly at: number;
  },
): void {
  const { standing, past, read, readingOf, embedding, at } = state;
  switch (op.op) {
    case 'revise': {
      const target = standing.find(({ alias }) => alias === op.target);
      // It keeps its identity and its beginning; only the words are new.
      if (target) target.read = readingOf(op.text, target.read.validFrom);
      if (target) target.embedding = embedding;
      return;
    }
    case 'create':
      if (op.supersededBy === undefined) standing.push({ alias: op.as, read, embedding });
      else past.push({ read, op, at });
      return;
    case 'supersede': {
      const target = standing.findIndex(({ alias }) => alias === op.target);
      if (target >= 0) standing.splice(target, 1);
      standing.push({ alias: op.as, read, embedding });
      return;
    }
    case 'conflict':
      standing.push({ alias: op.as, read, embedding });
      return;
    case 'reinforce':
    case 'skip':
    case 'fold':
    case 'retire':
      return;
    default:
      op satisfies never;
  }
}

const verdictOf: Readonly<Record<PairLabel, Verdict>> = {
  reinforce: 'same',
  // Linking the fuller text to the shorter one would lose words. Both stay; shown together they become one.
  revise: 'different',
  supersede: 'supersedes',
  'superseded-by': 'superseded_by',
  conflict: 'contradicts',
  'keep-both': 'different',
};

/** From the verdict that changes nothing to the one that hides most. */
const mildest: readonly Verdict[] = ['different', 'contradicts', 'superseded_by', 'supersedes', 'same'];

function adjudicateByRules(pair: PairToJudge, admissible: readonly Verdict[]): { verdict: Verdict; reason: string } {
  const { label, reason } = judgeRead(readText(pair.held), readText(pair.offered), pair.similarity);
  const verdict = verdictOf[label];
  if (admissible.includes(verdict)) return { verdict, reason };
  return {
    verdict: mildest.find((mild) => admissible.includes(mild)) ?? 'different',
    reason: `${verdict} is not admissible: ${reason}`,
  };
}
