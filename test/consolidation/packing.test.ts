import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchLimits, estimateTokens, packBatches } from '../../src/consolidation/packing.ts';
import type { AttemptEnd } from '../../src/consolidation/suspects.ts';
import type { DueMemory } from '../../src/store/due-memories.ts';

function due(id: string, more: Partial<DueMemory> = {}): DueMemory {
  return {
    id,
    version: 1,
    text: 'a text',
    context: null,
    tags: [],
    occurredStart: null,
    occurredEnd: null,
    mentionedAt: null,
    createdAt: new Date(0),
    attempts: 0,
    embedding: null,
    embeddingModel: null,
    ...more,
  };
}

const clean = (): AttemptEnd[] => [];
const crash = (size: number): AttemptEnd => ({ size, crashed: true });
const idsOf = (packing: ReturnType<typeof packBatches>) =>
  packing.batches.map((batch) => batch.memories.map((m) => m.id));
const tokensOf = (memories: readonly DueMemory[]) =>
  memories.reduce((sum, m) => sum + estimateTokens(m.text) + estimateTokens(m.context ?? ''), 0);

describe('packing', () => {
  it('puts each memory into exactly one batch, of one scope, within the limits, in the order given', () => {
    const memory = fc.record({
      tags: fc.constantFrom<string[]>([], ['a'], ['b'], ['a', 'b']),
      length: fc.constantFrom(1, 40, 4_000, 11_999, 12_000, 16_000),
      context: fc.option(fc.constantFrom('short', 'x'.repeat(3_000)), { nil: null }),
      history: fc.constantFrom<AttemptEnd[]>([], [crash(4)], [crash(4), crash(4)], [crash(9), crash(12)]),
    });
    fc.assert(
      fc.property(fc.array(memory, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (drawn, limit) => {
        const memories = drawn.map(({ tags, length, context }, index) =>
          due(`m${index}`, { tags, text: 'x'.repeat(length), context }),
        );
        const packing = packBatches(memories, (id) => drawn[Number(id.slice(1))]?.history ?? [], {
          ...batchLimits,
          memories: limit,
        });
        const packed = packing.batches.flatMap((batch) => batch.memories);
        expect([...packed, ...packing.guilty].map((m) => m.id).sort()).toEqual(memories.map((m) => m.id).sort());
        for (const batch of packing.batches) {
          expect(batch.memories.length).toBeGreaterThan(0);
          expect(batch.memories.length).toBeLessThanOrEqual(limit);
          expect(new Set(batch.memories.map((m) => JSON.stringify(m.tags))).size).toBe(1);
          if (batch.memories.length > 1) expect(tokensOf(batch.memories)).toBeLessThanOrEqual(batchLimits.memoryTokens);
          const places = batch.memories.map((m) => Number(m.id.slice(1)));
          expect(places).toEqual([...places].sort((a, b) => a - b));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('gives a memory over the token limit a batch to itself', () => {
    const packing = packBatches([due('a'), due('big', { text: 'x'.repeat(16_000) }), due('b')], clean, batchLimits);
    expect(idsOf(packing)).toEqual([['a'], ['big'], ['b']]);
  });

  it('keeps a scope apart from its subset: untagged is a scope of its own (L7)', () => {
    const packing = packBatches(
      [due('a'), due('b', { tags: ['x'] }), due('c'), due('d', { tags: ['x', 'y'] })],
      clean,
      batchLimits,
    );
    expect(idsOf(packing)).toEqual([['a', 'c'], ['b'], ['d']]);
  });

  it('is not fooled by a tag that looks like two', () => {
    const packing = packBatches([due('a', { tags: ['x,y'] }), due('b', { tags: ['x', 'y'] })], clean, batchLimits);
    expect(idsOf(packing)).toEqual([['a'], ['b']]);
  });

  it('runs suspects alone, in halves of the batch that crashed, and never with the others', () => {
    const history: Record<string, AttemptEnd[]> = {
      s1: [crash(4), crash(4)],
      s2: [crash(4), crash(4)],
      s3: [crash(4), crash(4)],
    };
    const packing = packBatches(
      [due('a'), due('s1'), due('b'), due('s2'), due('s3')],
      (id) => history[id] ?? [],
      batchLimits,
    );
    expect(packing.batches.map((batch) => [batch.memories.map((m) => m.id), batch.alone])).toEqual([
      [['a', 'b'], false],
      [['s1', 's2'], true],
      [['s3'], true],
    ]);
  });

  it('hands over a memory that crashed twice alone, and packs the others', () => {
    const packing = packBatches(
      [due('a'), due('poison')],
      (id) => (id === 'poison' ? [crash(1), crash(1)] : []),
      batchLimits,
    );
    expect(packing.guilty.map((m) => m.id)).toEqual(['poison']);
    expect(idsOf(packing)).toEqual([['a']]);
  });
});
