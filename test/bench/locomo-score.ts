/** A question of LoCoMo whose evidence is held by memories, named by their `source_ref`. */
export interface Question {
  readonly question: string;
  readonly answer: string;
  readonly evidence: readonly string[];
}

/** A returned row: the references of the memory that it is, or of those that it cites. */
export interface ReturnedItem {
  readonly text: string;
  readonly sourceRefs: readonly string[];
}

/** Means over the questions, 0 to 1. */
export interface Score {
  readonly questions: number;
  readonly recallAt5: number;
  readonly recallAt10: number;
  readonly answerTokens: number;
}

/** Share of the evidence that the first `k` items are or cite. */
export function evidenceRecall(items: readonly ReturnedItem[], evidence: readonly string[], k: number): number {
  const held = new Set(items.slice(0, k).flatMap((item) => item.sourceRefs));
  const wanted = new Set(evidence);
  return [...wanted].filter((reference) => held.has(reference)).length / wanted.size;
}

/** Share of the answer's words that stand in the texts. */
export function answerTokenRecall(texts: readonly string[], answer: string): number {
  const said = new Set(texts.flatMap(words));
  const wanted = new Set(words(answer));
  return wanted.size === 0 ? 1 : [...wanted].filter((word) => said.has(word)).length / wanted.size;
}

/** As questions answered from text are usually scored: no case, no punctuation, no articles. */
function words(text: string): string[] {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).filter((word) => !['a', 'an', 'the'].includes(word));
}

export function meanScore(scores: readonly Omit<Score, 'questions'>[]): Omit<Score, 'questions'> {
  const mean = (figure: (score: Omit<Score, 'questions'>) => number) =>
    scores.reduce((sum, score) => sum + figure(score), 0) / scores.length;
  return {
    recallAt5: mean((score) => score.recallAt5),
    recallAt10: mean((score) => score.recallAt10),
    answerTokens: mean((score) => score.answerTokens),
  };
}
