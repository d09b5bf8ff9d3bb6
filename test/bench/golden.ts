import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { createLocalEmbedder } from '../../src/models/local/local-embedder.ts';
import { type GoldenPart, readGoldenPairs } from '../golden/golden-pairs.ts';
import { boundsOf, type KindScore, scoreGolden } from './golden-score.ts';
import { printTable } from './table.ts';

/** `--missed` names the tuning pairs that are not decided as labelled. The held-out part shows counts and nothing else. */
export async function run(args: string[]): Promise<void> {
  const decider = createRulesDecider();
  const embedder = guardedEmbedder(createLocalEmbedder(), assertNoLease);
  for (const part of ['tuning', 'held-out'] as const) {
    const pairs = readGoldenPairs(part);
    const texts = [...new Set(pairs.flatMap(({ a, b }) => [a.text, b.text]))];
    const vectors = await embedder.embed(texts, { purpose: 'memory' });
    const byText = new Map(texts.flatMap((text, at) => (vectors[at] ? [[text, vectors[at]] as const] : [])));
    const scores = await scoreGolden(decider, pairs, byText);
    report(part, decider.name, embedder.model.id, scores);
    if (part === 'tuning' && args.includes('--missed')) {
      console.log(`missed: ${scores.flatMap(({ missed }) => missed).join(' ')}\n`);
    }
  }
  await embedder.release();
}

function report(part: GoldenPart, decider: string, model: string, scores: readonly KindScore[]): void {
  console.log(`${part} pairs, decider ${decider}, embeddings ${model}\n`);
  const row = (name: string, ofKinds: readonly KindScore[]) => {
    const sum = (figure: (score: KindScore) => number) =>
      String(ofKinds.reduce((total, one) => total + figure(one), 0));
    const sought = ofKinds.some(({ found }) => found !== null);
    return [
      name,
      sum(({ pairs }) => pairs),
      sum(({ correct }) => correct),
      sought ? sum(({ found }) => found ?? 0) : '-',
      sum(({ falseFolds }) => falseFolds),
      sum(({ falseSupersedes }) => falseSupersedes),
      sum(({ falseConflicts }) => falseConflicts),
      sum(({ refused }) => refused),
    ];
  };
  printTable(
    ['kind', 'pairs', 'correct', 'found', 'false folds', 'false supersedes', 'false conflicts', 'refused'],
    [...scores.map((score) => row(score.kind, [score])), row('all', scores)],
  );
  console.log();
  for (const { about, holds, measured } of boundsOf(scores)) {
    console.log(`${holds ? 'PASS' : 'FAIL'} ${part}: ${about} (${measured})`);
    if (!holds) process.exitCode = 1;
  }
  console.log();
}
