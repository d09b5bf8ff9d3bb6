import { seededRandom } from './overhead-input.ts';

/** What one bank is told. */
export interface ToldMemory {
  readonly text: string;
  readonly mentionedAt: Date;
}

const syllables =
  'ba be bo da de do fa fe fo ga ge go ka ke ko la le lo ma me mo na ne no pa pe po ra re ro sa se so ta te to va ve vo za ze zo'.split(
    ' ',
  );

/** How far behind its original a near twin comes: so few memories later, both are at the model at once. */
const nearWithin = 200;

/**
 * Memories of made-up words, so that two facts share nothing but their grammar, and no pair of them is worth a decision.
 *
 * @param twinShare part of them that says an earlier one again: half of these while the first is still on its way, half at any time
 *   later.
 */
export function poolMemories(options: {
  readonly count: number;
  readonly twinShare: number;
  readonly seed: number;
}): ToldMemory[] {
  const { count, twinShare } = options;
  const random = seededRandom(options.seed);
  const below = (bound: number) => Math.floor(random() * bound);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const word = () => `${pick(syllables)}${pick(syllables)}${pick(syllables)}`;
  const name = () => {
    const made = word();
    return made.slice(0, 1).toUpperCase() + made.slice(1);
  };
  const facts: string[] = [];
  const start = Date.UTC(2026, 0, 1);
  return Array.from({ length: count }, (_, index) => {
    const isTwin = facts.length > 0 && random() < twinShare;
    const oldest = random() < 0.5 ? Math.max(0, facts.length - nearWithin) : 0;
    const fact = isTwin
      ? (facts[oldest + below(facts.length - oldest)] as string)
      : `${name()} ${pick(syllables)}${pick(syllables)}ted the ${word()} ${word()} in ${name()} for ${word()} ${word()}.`;
    if (!isTwin) facts.push(fact);
    return { text: isTwin ? retold(fact, random()) : fact, mentionedAt: new Date(start + index * 60_000) };
  });
}

/** Half in the same words, half with a small first letter, which a reader takes for the same. */
function retold(fact: string, how: number): string {
  return how < 0.5 ? fact : fact.slice(0, 1).toLowerCase() + fact.slice(1);
}
