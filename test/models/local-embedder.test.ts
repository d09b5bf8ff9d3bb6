import { execFile } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { createLocalEmbedder, localEmbeddingModel } from '../../src/models/local/local-embedder.ts';
import { workerUrl } from '../../src/telemetry/worker-url.ts';

/** With the real model. */
const embedder = guardedEmbedder(createLocalEmbedder(), assertNoLease);
afterAll(() => embedder.release());

const memory = { purpose: 'memory' } as const;
const embedOne = async (text: string) => {
  const [vector] = await embedder.embed([text], memory);
  if (!vector) throw new Error('no vector');
  return vector;
};
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, at) => sum + value * (b[at] ?? Number.NaN), 0);
const similarity = async (a: string, b: string) => dot(await embedOne(a), await embedOne(b));
const sentences = (count: number) =>
  Array.from(
    { length: count },
    (_, at) => `Project ${at}: ${'the deploy of the staging server moved. '.repeat(1 + (at % 4))}`,
  );

describe('the local model', () => {
  it('answers 512 numbers, the same ones for the same text, also after a reload', async () => {
    const text = 'Alice prefers tea over coffee in the morning.';
    const first = await embedOne(text);
    expect(first).toHaveLength(localEmbeddingModel.dimensions);
    expect(await embedOne(text)).toEqual(first);
    await embedder.release();
    expect(await embedOne(text)).toEqual(first);
  });

  it('puts a paraphrase nearer than another matter', async () => {
    const text = 'Alice prefers tea over coffee in the morning.';
    const paraphrase = await similarity(text, 'Alice likes tea more than coffee.');
    const unrelated = await similarity(text, 'The database server was migrated to Frankfurt on Tuesday.');
    expect(paraphrase).toBeGreaterThan(0.7);
    expect(unrelated).toBeLessThan(0.3);
  });

  it('does not mind case or line breaks', async () => {
    expect(await similarity('ALICE PREFERS\nTEA', 'Alice prefers tea')).toBeCloseTo(1, 5);
  });

  it('tells texts apart whose script it cannot read, and recognises those that share words', async () => {
    const text = 'アリスは朝にコーヒーより紅茶を好みます';
    expect(await similarity(text, text)).toBeCloseTo(1, 5);
    expect(await similarity(text, 'データベースは火曜日にフランクフルトへ移行されました')).toBeLessThan(0.6);
    const near = await similarity('Заказ отправлен в понедельник', 'Заказ был отправлен в понедельник');
    const far = await similarity('Заказ отправлен в понедельник', 'Алиса любит чай больше чем кофе');
    expect(near).toBeGreaterThan(far);
    expect(near).toBeGreaterThan(0.7);
  });

  it('gives every text of a mixed batch the vector it gets alone', async () => {
    const texts = ['tea', 'x'.repeat(5_000), '', ...sentences(12), '\u0000\ud800', '🎉', '   '];
    const together = await embedder.embed(texts, memory);
    for (const [at, text] of texts.entries()) {
      expect(dot(together[at] ?? new Float32Array(), await embedOne(text)), `text ${at}`).toBeCloseTo(1, 5);
    }
  });

  it('reads no more of 16 KB than of their beginning', async () => {
    const long = 'The deploy of the staging server moved to Thursday. '.repeat(315);
    expect(await embedOne(long)).toEqual(await embedOne(long.slice(0, 2_048)));
  });

  it('leaves the main thread free while it embeds 64 texts', async () => {
    let turns = 0;
    let done = false;
    const embedding = embedder.embed(sentences(64), memory).finally(() => {
      done = true;
    });
    while (!done) {
      await nextTurn();
      turns++;
    }
    expect(await embedding).toHaveLength(64);
    expect(turns).toBeGreaterThan(0);
  });

  it('needs no network', async () => {
    const offline = createLocalEmbedder({ workerUrl: workerUrl(import.meta.url, './workers/offline-worker') });
    expect(await offline.embed(['Alice prefers tea'], memory)).toHaveLength(1);
    await offline.release();
  });

  it('ends its thread when the model fails, so that a broken one is not asked again', async () => {
    const worker = new Worker(
      workerUrl(new URL('../../src/models/local/x.ts', import.meta.url).href, './embed-worker'),
      {
        stdout: true,
        stderr: true,
      },
    );
    const failure = new Promise((resolve) => worker.once('error', resolve));
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    worker.postMessage({ id: 1, inputs: [''] });
    expect(await failure).toBeInstanceOf(Error);
    expect(await exit).not.toBe(0);
  });

  it('lets a program end by itself, and prints nothing', async () => {
    const program = fileURLToPath(workerUrl(import.meta.url, './workers/embed-and-stop-working'));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], { timeout: 25_000 });
    expect(stdout).toBe('{"dimensions":512}');
    expect(stderr).toBe('');
  });
});

describe('workerUrl', () => {
  it('takes the extension of its caller', () => {
    expect(workerUrl('file:///app/src/models/a.ts', './b-worker').href).toBe('file:///app/src/models/b-worker.ts');
    expect(workerUrl('file:///app/dist/models/a.js', './b-worker').href).toBe('file:///app/dist/models/b-worker.js');
  });
});
