import { describe, expect, it } from 'vitest';
import { createRulesDecider } from '../../../src/consolidation/rules/rules-decider.ts';
import { boundsOf, scoreGolden } from '../../bench/golden-score.ts';
import { readGoldenPairs } from '../../golden/golden-pairs.ts';
import { wordVector } from '../../support/fake-embedder.ts';

// Words stand in for the embedder here: the rules decide by words. `npm run bench -- golden` has the real one and both parts.
const pairs = readGoldenPairs('tuning');
const vectors = new Map(pairs.flatMap(({ a, b }) => [a.text, b.text]).map((text) => [text, wordVector(text)]));
const scores = await scoreGolden(createRulesDecider(), pairs, vectors);

describe('the rules decider on the tuning pairs', () => {
  it.each(boundsOf(scores))('keeps: $about ($measured)', ({ holds }) => {
    expect(holds).toBe(true);
  });

  it('folds, supersedes and flags nothing that is labelled otherwise, of any kind', () => {
    const wrong = scores.filter((score) => score.falseFolds + score.falseSupersedes + score.falseConflicts > 0);
    expect(wrong).toEqual([]);
  });

  it('proposes nothing that the validators refuse', () => {
    expect(scores.filter(({ refused }) => refused > 0)).toEqual([]);
  });
});
