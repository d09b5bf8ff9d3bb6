import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { embeddingInput, maxInputCharacters } from '../../src/models/local/embedding-input.ts';
import { lengthGroups } from '../../src/models/local/length-groups.ts';
import { blendUnreadableWords } from '../../src/models/local/unreadable-words.ts';

describe('embeddingInput', () => {
  it('is never empty and never longer than the limit', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.nat(60), (text, times) => {
        const input = embeddingInput(text.repeat(times));
        expect(input.length).toBeGreaterThan(0);
        expect(input.length).toBeLessThanOrEqual(maxInputCharacters);
      }),
    );
  });

  it('ignores case, line breaks and the width of letters', () => {
    expect(embeddingInput('  Alice\r\n\tprefers\u00a0 ＴＥＡ ')).toBe('alice prefers tea');
  });

  it('keeps text behind a long run of white space', () => {
    expect(embeddingInput(`${' \n'.repeat(5_000)}tea${' '.repeat(5_000)}coffee`)).toBe('tea coffee');
  });

  it('cuts what normalisation makes longer', () => {
    expect(embeddingInput('\ufdfa'.repeat(5_000))).toHaveLength(maxInputCharacters);
  });
});

describe('lengthGroups', () => {
  it('puts every text into one group, none much longer than the shortest beside it', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2_048), { maxLength: 40 }), (lengths) => {
        const groups = lengthGroups(lengths.map((length) => 'x'.repeat(length)));
        expect(groups.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()]);
        for (const group of groups) {
          const inGroup = group.map((position) => lengths[position] ?? 0);
          expect(Math.max(...inGroup)).toBeLessThanOrEqual(Math.min(...inGroup) * 1.5 + 32);
        }
      }),
    );
  });
});

describe('blendUnreadableWords', () => {
  const readable = new Set('abcdefghijklmnopqrstuvwxyz0123456789.,');
  const modelVector = () => new Float32Array(512).with(0, 1);
  const blended = (input: string) => {
    const vector = modelVector();
    blendUnreadableWords(vector, input, readable);
    return vector;
  };

  it('leaves a readable text as it is', () => {
    expect(blended('order 1124, shipped.')).toEqual(modelVector());
  });

  it('answers a unit vector whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(Math.hypot(...blended(text))).toBeCloseTo(1, 5);
      }),
    );
  });
});
