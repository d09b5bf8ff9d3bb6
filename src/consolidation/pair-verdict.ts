import { ModelContentError } from '../models/provider-errors.ts';
import type { Alias, DecideOptions, Decider, Judgement, PairToJudge, ProposedOp, Verdict } from './decider.ts';
import { compareTexts } from './values/compare-values.ts';

export type Create = Extract<ProposedOp, { op: 'create' }>;

/**
 * Nobody has to be asked whether a text is what it is: in the same words `same`, where the value guard admits it. A pair
 * over which the decider fails by its content is read as two things, so that whatever else was decided goes on; that is
 * no verdict and not kept as one, and a decider that fails over every pair is found out all the same (law L8).
 */
export async function judgePair(
  deps: { readonly decider: Decider },
  pair: PairToJudge,
  options: DecideOptions,
  admissible: readonly Verdict[] = admissibleVerdicts(pair),
): Promise<Judgement> {
  if (admissible.includes('same') && inPlainWords(pair.held.text) === inPlainWords(pair.offered.text)) {
    return { verdict: 'same', reason: 'the same words' };
  }
  try {
    return await deps.decider.adjudicate(pair, admissible, options);
  } catch (thrown) {
    if (!(thrown instanceof ModelContentError) || !admissible.includes('different')) throw thrown;
    // One text beside many others is one and not many that got nothing: what is offered comes last.
    await deps.decider.blames(thrown, options.subjectIds.at(-1) ?? pair.offered.text);
    return { verdict: 'different', reason: `no verdict (${thrown.kind}): both stay` };
  }
}

/** Case, spaces, quotation marks and the stop at the end say nothing. */
function inPlainWords(text: string): string {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .replace(/[‘’ʼ]/g, "'")
      .replace(/[“”]/g, '"')
      .replace(/\s+/g, ' ')
      // From where a run begins, not from each of its characters: that was quadratic.
      .replace(/(?<![\s.!])[\s.!]+$/, '')
      .trim()
  );
}

/** What becomes of a text that is not simply new. */
export function asJudged(
  op: Create,
  target: Alias,
  verdict: Exclude<Verdict, 'different'>,
  reason: string,
): ProposedOp {
  const { as, text, memories, validFrom } = op;
  switch (verdict) {
    case 'same':
      return { op: 'reinforce', target, memories, reason };
    case 'supersedes':
      return { op: 'supersede', target, as, text, memories, validFrom, reason };
    case 'superseded_by':
      return { ...op, supersededBy: target, reason };
    case 'contradicts':
      return { op: 'conflict', target, as, text, memories, validFrom, reason };
    default:
      return verdict satisfies never;
  }
}

/** What may be said of a pair at all: `same` only where every value agrees, an order in time only where both have a time. */
export function admissibleVerdicts(pair: PairToJudge): Verdict[] {
  const verdicts: Verdict[] = ['different', 'contradicts'];
  // "Yesterday" said on two days is two days.
  const saidAt = { a: pair.held.validFrom, b: pair.offered.validFrom };
  if (compareTexts(pair.held.text, pair.offered.text, saidAt).agree) verdicts.unshift('same');
  const { validFrom: heldFrom } = pair.held;
  const { validFrom: offeredFrom } = pair.offered;
  if (heldFrom !== null && offeredFrom !== null) {
    if (offeredFrom > heldFrom) verdicts.push('supersedes');
    if (offeredFrom < heldFrom) verdicts.push('superseded_by');
  }
  return verdicts;
}

/** The op with its targets under other aliases. */
export function renamed<Op extends ProposedOp & { readonly target: Alias }>(
  op: Op,
  named: (alias: Alias) => Alias,
): Op {
  return { ...op, target: named(op.target), ...('into' in op ? { into: named(op.into) } : {}) };
}
