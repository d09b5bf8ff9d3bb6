import { describe, expect, it } from 'vitest';
import { HeldConnectionError } from '../../src/db/errors.ts';
import { assertNoLease, withLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { InvalidEmbeddingError } from '../../src/models/validate-embedding.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';

describe('guardedEmbedder', () => {
  it('throws under a held connection and never reaches the model (L1)', async () => {
    const inner = createFakeEmbedder();
    const embedder = guardedEmbedder(inner, assertNoLease);
    const underLease = withLease('test', () => embedder.embed(['a text'], { purpose: 'memory' }));
    await expect(underLease).rejects.toBeInstanceOf(HeldConnectionError);
    const nothingUnderLease = withLease('test', () => embedder.embed([], { purpose: 'memory' }));
    await expect(nothingUnderLease).rejects.toBeInstanceOf(HeldConnectionError);
    expect(inner.calls).toEqual([]);
  });

  it('embeds in a context whose connection has been given back', async () => {
    const embedder = guardedEmbedder(createFakeEmbedder(), assertNoLease);
    const released = Promise.withResolvers<void>();
    let later: Promise<Float32Array[]> | undefined;
    await withLease('test', async () => {
      later = released.promise.then(() => embedder.embed(['a text'], { purpose: 'memory' }));
    });
    released.resolve();
    expect(await later).toHaveLength(1);
  });

  it('normalises what the model answers', async () => {
    const inner = createFakeEmbedder({ vectorOf: () => new Float32Array(512).fill(3) });
    const [vector] = await guardedEmbedder(inner, assertNoLease).embed(['a text'], { purpose: 'query' });
    expect(Math.hypot(...(vector ?? []))).toBeCloseTo(1, 5);
  });

  it.each([
    ['NaN', new Float32Array(512).fill(Number.NaN)],
    ['zeros', new Float32Array(512)],
    ['three numbers', Float32Array.of(1, 2, 3)],
  ])('refuses a vector of %s', async (_, bad) => {
    const inner = createFakeEmbedder({ vectorOf: (text) => (text === 'bad' ? bad : new Float32Array(512).fill(1)) });
    const call = guardedEmbedder(inner, assertNoLease).embed(['good', 'bad'], { purpose: 'memory' });
    await expect(call).rejects.toMatchObject({ code: 'INVALID_EMBEDDING', index: 1 });
  });

  it('refuses an answer with a vector too few', async () => {
    const inner = createFakeEmbedder();
    const short = guardedEmbedder({ ...inner, embed: async () => [] }, assertNoLease);
    await expect(short.embed(['a text'], { purpose: 'memory' })).rejects.toBeInstanceOf(InvalidEmbeddingError);
  });

  it('does not ask the model for nothing, nor after an abort', async () => {
    const inner = createFakeEmbedder();
    const embedder = guardedEmbedder(inner, assertNoLease);
    expect(await embedder.embed([], { purpose: 'memory' })).toEqual([]);
    const aborted = embedder.embed(['a text'], { purpose: 'memory', signal: AbortSignal.abort(new Error('stop')) });
    await expect(aborted).rejects.toThrow('stop');
    expect(inner.calls).toEqual([]);
  });
});
