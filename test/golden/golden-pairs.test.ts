import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  GOLDEN_KINDS,
  type GoldenKind,
  type GoldenPair,
  goldenTimeMs,
  isHeldOut,
  LABELS_BY_KIND,
  readGoldenPairs,
} from './golden-pairs.ts';

const tuning = readGoldenPairs('tuning');
const heldOut = readGoldenPairs('held-out');
const all = [...tuning, ...heldOut];
const sampleText = z.object({ text: z.string() });

/** Ids of the pairs that break a rule. Texts stay out of the message, so that a failing run shows nothing held out. */
function breaking(rule: (pair: GoldenPair) => boolean, ...kinds: GoldenKind[]): string[] {
  return all.filter((pair) => (kinds.length === 0 || kinds.includes(pair.kind)) && !rule(pair)).map((pair) => pair.id);
}

/** -1: b holds from before a, 0: from the same moment, 1: from after it, null: cannot be told. */
function orderOf(pair: GoldenPair): number | null {
  const [a, b] = [goldenTimeMs(pair.a), goldenTimeMs(pair.b)];
  return a === null || b === null ? null : Math.sign(b - a);
}

const words = (text: string) =>
  text
    .toLowerCase()
    .replace(/'/g, '')
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
const bag = (text: string) => words(text).sort().join(' ');

describe('golden pairs', () => {
  it('are enough, and enough of every kind', () => {
    expect(all.length).toBeGreaterThanOrEqual(330);
    const counts = Object.fromEntries(GOLDEN_KINDS.map((kind) => [kind, all.filter((p) => p.kind === kind).length]));
    for (const kind of GOLDEN_KINDS) expect(counts[kind], kind).toBeGreaterThanOrEqual(14);
    expect((counts['dated-update'] ?? 0) + (counts['changed-preference'] ?? 0)).toBeGreaterThanOrEqual(30);
  });

  it('have unique ids, each beginning with its kind', () => {
    expect(new Set(all.map((pair) => pair.id)).size).toBe(all.length);
    expect(
      breaking((pair) => /^-\d{2}$/.test(pair.id.slice(pair.kind.length)) && pair.id.startsWith(pair.kind)),
    ).toEqual([]);
  });

  it('are not told twice, in one part or across both', () => {
    const key = (pair: GoldenPair) => JSON.stringify([pair.a, pair.b]);
    expect(new Set(all.map(key)).size).toBe(all.length);
    const seen = new Map<string, string>();
    const repeated: string[] = [];
    for (const pair of all) {
      for (const text of new Set([pair.a.text, pair.b.text])) {
        const other = seen.get(text);
        if (other !== undefined) repeated.push(`${other} ${pair.id}`);
        seen.set(text, pair.id);
      }
    }
    expect(repeated).toEqual([]);
  });

  it('share no text with the sample bank, which everybody may look at while tuning', () => {
    const file = new URL('../../src/cli/demo/sample-bank.jsonl', import.meta.url);
    const bank = new Set(
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => words(sampleText.parse(JSON.parse(line)).text).join(' ')),
    );
    expect(bank.size).toBeGreaterThan(100);
    expect(breaking((pair) => [pair.a, pair.b].every((side) => !bank.has(words(side.text).join(' '))))).toEqual([]);
  });

  it('lie in the part that the split rule names, about a third of them put aside', () => {
    expect(tuning.filter((pair) => isHeldOut(pair.id)).map((pair) => pair.id)).toEqual([]);
    expect(heldOut.filter((pair) => !isHeldOut(pair.id)).map((pair) => pair.id)).toEqual([]);
    const share = heldOut.length / all.length;
    expect(share).toBeGreaterThanOrEqual(0.3);
    expect(share).toBeLessThanOrEqual(0.37);
    for (const kind of GOLDEN_KINDS) {
      expect(heldOut.filter((pair) => pair.kind === kind).length, kind).toBeGreaterThanOrEqual(4);
    }
  });

  it('carry a label that their kind allows', () => {
    expect(breaking((pair) => LABELS_BY_KIND[pair.kind].includes(pair.label))).toEqual([]);
  });

  it('are superseded only by what is dated later', () => {
    expect(breaking((pair) => pair.label !== 'supersede' || orderOf(pair) === 1)).toEqual([]);
    expect(breaking((pair) => (orderOf(pair) === 1) === (pair.label === 'supersede'), 'negation')).toEqual([]);
    expect(breaking((pair) => orderOf(pair) === -1, 'late-arrival')).toEqual([]);
    expect(breaking((pair) => orderOf(pair) === null || orderOf(pair) === 0, 'undated-contradiction')).toEqual([]);
  });

  it('are duplicates in the way their kind says', () => {
    expect(breaking((pair) => pair.a.text === pair.b.text, 'exact-duplicate')).toEqual([]);
    expect(breaking((pair) => pair.a.text !== pair.b.text || pair.kind === 'exact-duplicate')).toEqual([]);
    const sameWords = (pair: GoldenPair) => words(pair.a.text).join(' ') === words(pair.b.text).join(' ');
    expect(breaking(sameWords, 'case-duplicate')).toEqual([]);
    const reordered = (pair: GoldenPair) => bag(pair.a.text) === bag(pair.b.text) && !sameWords(pair);
    expect(breaking(reordered, 'word-order-duplicate')).toEqual([]);
  });
});
