import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { AskingDecider } from './asking-decider.ts';
import { liveTexts } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
let decider: AskingDecider;
let engine: ConsolidationEngine;
beforeAll(async () => {
  bench = await createWorkbench();
  decider = new AskingDecider(bench.database.db);
  engine = await bench.engineBeside({ decider });
});
beforeEach(async () => {
  await bench.freshBank();
  decider.reset();
});
afterAll(() => bench.close());

const { signal } = new AbortController();
/** A token a word. */
const words = (text: string) => text.split(' ').length;
/** Batches run beside each other: smallest first. */
const sizes = () => decider.batches.map((batch) => batch.memories.length).sort((a, b) => a - b);

describe('a batch is packed by what the decider takes', () => {
  it('memories, and tokens by its own measure', async () => {
    decider.limits = { memories: 3, memoryTokens: 6, observationTokens: 0, tokensOf: words };
    await bench.remember('a b', 'c d', 'e f', 'g h i j k l m n', 'o', 'p', 'q', 'r');
    await bench.consolidate({ engine });
    expect(sizes()).toEqual([1, 1, 3, 3]);
  });

  it('read anew before each packing: a model that turns out to take less gets less', async () => {
    const one = await bench.engineBeside({ decider, concurrency: 1 });
    decider.limits = { ...decider.limits, memories: 4, tokensOf: words };
    await bench.remember(...Array.from({ length: 8 }, (_, index) => `Shelf ${index} holds box ${index * 7}`));
    bench.races.at('batch:selected', () => {
      decider.limits = { ...decider.limits, memories: 2 };
    });
    await bench.consolidate({ engine: one });
    expect(sizes()).toEqual([2, 2, 4]);
  });

  it('observations by its measure too, the room of an oversize memory taken from theirs', async () => {
    const seen = async (text: string) => {
      await bench.remember(text);
      await bench.consolidate({ engine });
      return decider.batches.at(-1)?.observations.length;
    };
    for (const drink of ['tea', 'milk', 'mate']) await seen(`Ana drinks ${drink} at home`);
    // Each with its one source is ten words.
    decider.limits = { memories: 12, memoryTokens: 5, observationTokens: 20, tokensOf: words };
    expect(await seen('Ana drinks wine at home')).toBe(2);
    expect(await seen('Ana drinks beer at home with all her old friends')).toBe(1);
  });
});

describe('a dry run with a model', () => {
  it('pays once with the run that follows: the same batches, the same requests', async () => {
    await bench.remember('Ana drinks tea', 'Ben drinks milk', { text: 'Cy drinks water', unembedded: true });
    await bench.remember(...Array.from({ length: 15 }, (_, index) => `Shelf ${index} holds box ${index * 7}`));
    const report = await bench.engine.dryRun(bench.bankId, { signal });
    expect(report).toMatchObject({ calls: 0, costUsd: 0 });
    const asked = await engine.dryRun(bench.bankId, { signal, limit: 14 });
    expect(asked.memories, 'whole batches').toBe(12);
    expect(decider.paid).toHaveLength(1);
    expect(await liveTexts(bench)).toEqual([]);
    expect(await bench.rows('select from engram.attempts where bank_id = $1', [bench.bankId])).toEqual([]);
    // The first batch has a memory to embed. What overtook it would stand beside its memories, and be another request.
    const recalled = Promise.withResolvers<void>();
    bench.races.at('batch:recalled', () => recalled.resolve());
    bench.races.at('batch:selected', async ({ memoryIds }) => {
      if ((memoryIds as string[]).length === 6) await recalled.promise;
    });
    await bench.consolidate({ engine });
    expect(decider.paid.map((texts) => texts.length)).toEqual([12, 6]);
    expect(await liveTexts(bench)).toHaveLength(18);
  });

  it('says what its calls cost', async () => {
    await bench.remember('Ana drinks tea');
    const { propose_ } = decider;
    decider.propose_ = async (batch) => {
      await bench.rows(
        `insert into engram.model_calls (id, day, bank_id, instance_id, purpose, endpoint, model, request_hash,
           prompt_bytes, nano_usd, tokens, unpriced_tokens)
         select gen_random_uuid(), current_date, $1, gen_random_uuid(), 'consolidate', 'e', 'm', $2, 1, 1500000, 10, 0`,
        [bench.bankId, decider.lastHash],
      );
      return propose_(batch);
    };
    expect(await engine.dryRun(bench.bankId, { signal })).toMatchObject({ calls: 1, costUsd: 0.0015 });
    expect(await engine.dryRun(bench.bankId, { signal }), 'its answer is kept').toMatchObject({ calls: 0, costUsd: 0 });
  });
});
