import { afterEach, describe, expect, it } from 'vitest';
import { maxBatchCharacters, maxBatchTexts } from '../../src/models/local/embed-queue.ts';
import { createLocalEmbedder } from '../../src/models/local/local-embedder.ts';
import { workerUrl } from '../../src/telemetry/worker-url.ts';

/** How calls are cut into batches, ordered, dropped and failed: with a thread that answers where each text stood. */
const scripted = workerUrl(import.meta.url, './workers/scripted-worker');
const embedder = createLocalEmbedder({ workerUrl: scripted });
afterEach(() => embedder.release());

const numbered = (count: number) => Array.from({ length: count }, (_, at) => `text ${at}`);
/** [batch, position in the batch, length of the batch] */
const places = (vectors: Float32Array[]) => vectors.map((vector) => [...vector.slice(0, 3)]);
const memory = { purpose: 'memory' } as const;

describe('batches', () => {
  it('takes calls made in one turn together, queries first', async () => {
    const [first, second, query] = await Promise.all([
      embedder.embed(['a', 'b'], memory),
      embedder.embed(['c'], { purpose: 'observation' }),
      embedder.embed(['d'], { purpose: 'query' }),
    ]);
    const batch = first[0]?.[0] ?? Number.NaN;
    expect(places(query)).toEqual([[batch, 0, 4]]);
    expect(places(first)).toEqual([
      [batch, 1, 4],
      [batch, 2, 4],
    ]);
    expect(places(second)).toEqual([[batch, 3, 4]]);
  });

  it('lets a query overtake the rest of a long call', async () => {
    const order: string[] = [];
    const long = embedder.embed(numbered(maxBatchTexts * 3), memory).finally(() => order.push('long'));
    await Promise.resolve();
    const query = embedder.embed(['q'], { purpose: 'query' }).finally(() => order.push('query'));
    const [queryBatch] = places(await query)[0] ?? [];
    const batches = places(await long).map(([batch]) => batch);
    expect(order).toEqual(['query', 'long']);
    expect(queryBatch).toBeGreaterThan(batches.at(0) ?? Number.NaN);
    expect(queryBatch).toBeLessThan(batches.at(-1) ?? Number.NaN);
  });

  it('keeps the order of the texts over several batches', async () => {
    const seen = places(await embedder.embed(numbered(maxBatchTexts * 2 + 3), memory));
    const first = seen[0]?.[0] ?? Number.NaN;
    expect(seen).toEqual(
      numbered(seen.length).map((_, at) => [
        first + Math.floor(at / maxBatchTexts),
        at % maxBatchTexts,
        at < maxBatchTexts * 2 ? maxBatchTexts : 3,
      ]),
    );
  });

  it('bounds a batch by its characters too', async () => {
    const texts = Array.from({ length: 5 }, () => 'x'.repeat(maxBatchCharacters / 2));
    expect(places(await embedder.embed(texts, memory)).map(([, , length]) => length)).toEqual([2, 2, 2, 2, 1]);
  });

  it('answers nothing with nothing', async () => {
    expect(await embedder.embed([], memory)).toEqual([]);
  });
});

describe('an abort', () => {
  it('drops a waiting call, and only that one', async () => {
    const controller = new AbortController();
    const before = embedder.embed(['a'], memory);
    await Promise.resolve();
    const dropped = embedder.embed(['b', 'c'], { ...memory, signal: controller.signal });
    const after = embedder.embed(['d'], memory);
    controller.abort(new Error('nobody waits any more'));
    await expect(dropped).rejects.toThrow('nobody waits any more');
    expect(await before).toHaveLength(1);
    expect(places(await after).map(([, position, length]) => [position, length])).toEqual([[0, 1]]);
  });

  it('ends a call whose batch is out, and the embedder goes on', async () => {
    const controller = new AbortController();
    const call = embedder.embed(numbered(maxBatchTexts + 1), { ...memory, signal: controller.signal });
    await Promise.resolve();
    controller.abort(new Error('nobody waits any more'));
    await expect(call).rejects.toThrow('nobody waits any more');
    expect(places(await embedder.embed(['a'], memory)).map(([, position, length]) => [position, length])).toEqual([
      [0, 1],
    ]);
  });

  it('refuses a call that was aborted before', async () => {
    const signal = AbortSignal.abort(new Error('too late'));
    await expect(embedder.embed(['a'], { ...memory, signal })).rejects.toThrow('too late');
  });
});

describe('a thread that dies', () => {
  it.each([
    ['exit', 'exited with code 7'],
    ['throw', 'out of order'],
  ])('by %s fails every waiting call as retryable, and the next call starts another', async (order, reason) => {
    const calls = [embedder.embed([order], memory), embedder.embed(numbered(maxBatchTexts * 2), memory)];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'EMBEDDER_CRASHED', retryable: true } });
      expect(outcome).toHaveProperty('reason.message', expect.stringContaining(reason));
    }
    expect(await embedder.embed(['a'], memory)).toHaveLength(1);
  });

  it('before it could load fails the call as retryable', async () => {
    const broken = createLocalEmbedder({ workerUrl: new URL('./no-such-worker.ts', import.meta.url) });
    await expect(broken.embed(['a'], memory)).rejects.toMatchObject({ code: 'EMBEDDER_CRASHED', retryable: true });
  });
});

describe('release', () => {
  it('fails the calls that wait, and the next call starts again', async () => {
    const stuck = embedder.embed(['stay silent'], memory);
    const waiting = embedder.embed(['a'], { purpose: 'query' });
    const outcomes = Promise.allSettled([stuck, waiting]);
    await Promise.resolve();
    await embedder.release();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'EMBEDDER_RELEASED', retryable: true } });
    }
    expect(await embedder.embed(['a'], memory)).toHaveLength(1);
  });

  it('does not harm a call made while the old thread still ends', async () => {
    await embedder.embed(['a'], memory);
    const released = embedder.release();
    const call = embedder.embed(['a'], memory);
    await released;
    expect(await call).toHaveLength(1);
  });

  it('does nothing where nothing was loaded, however often', async () => {
    const unused = createLocalEmbedder({ workerUrl: scripted });
    await Promise.all([unused.release(), unused.release()]);
    await unused.release();
  });
});
