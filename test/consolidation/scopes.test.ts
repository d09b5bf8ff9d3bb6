import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadRelated, observationsByWords } from '../../src/store/related-observations.ts';
import { applyOps, memoryRef, seen } from './apply-directly.ts';
import { observation, observations } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const text = 'Ana drinks tea';
const shown = () => bench.decider.batches.map((batch) => batch.observations.map((row) => row.text));

describe('only memories of the same scope touch an observation (L7):', () => {
  it('the same text in two scopes is two observations', async () => {
    const ids = await bench.remember({ text, tags: ['home'] }, { text, tags: ['work'] }, { text, tags: ['home'] });
    await bench.consolidate();
    const rows = (await observations(bench)).sort((a, b) => a.tags.join().localeCompare(b.tags.join()));
    expect(rows.map((row) => [row.tags, row.sources.map((source) => source.id)])).toEqual([
      [['home'], [ids[0], ids[2]]],
      [['work'], [ids[1]]],
    ]);
    expect(bench.decider.batches).toHaveLength(2);
  });

  it('untagged in a tagged bank is a scope of its own, not all of them', async () => {
    await bench.remember({ text, tags: ['home'] });
    await bench.consolidate();
    await bench.remember(text);
    await bench.consolidate();
    expect(shown()).toEqual([[], []]);
    expect((await observations(bench)).map((row) => row.tags)).toEqual([['home'], []]);
    await bench.remember({ text, tags: ['home', 'work'] });
    await bench.consolidate();
    expect(shown().at(-1), 'nor is a set its subset').toEqual([]);
  });

  it('tags are a set: neither order nor repetition makes another scope', async () => {
    await bench.remember({ text, tags: ['b', 'a'] }, { text, tags: ['a', 'b', 'a'] });
    await bench.consolidate();
    expect(await observations(bench)).toMatchObject([{ tags: ['a', 'b'], sources: [{}, {}] }]);
  });

  it('what a scope was written in moves the epoch of that scope alone (L3)', async () => {
    await bench.remember({ text, tags: ['home'] });
    await bench.consolidate();
    await bench.remember({ text, tags: ['work'] });
    await bench.consolidate();
    const epochs = await bench.rows('select tags, epoch from engram.scopes where bank_id = $1 order by tags', [
      bench.bankId,
    ]);
    expect(epochs).toEqual([
      { tags: ['home'], epoch: 1 },
      { tags: ['work'], epoch: 1 },
    ]);
  });

  it('apply refuses a target of another scope, whoever proposed it', async () => {
    await bench.remember({ text, tags: ['home'] });
    await bench.consolidate();
    const [id = ''] = await bench.remember('Ana, tea');
    const target = await seen(bench, text);
    const result = await applyOps(bench, [
      { op: 'reinforce', target, memories: [memoryRef(id)], replan: null, reason: 'same' },
    ]);
    expect(result.missed.map((miss) => miss.reason)).toEqual(['target_changed']);
    expect((await observation(bench, text)).sources).toHaveLength(1);
  });

  it('a search that is a moment behind cannot put another scope into a prompt', async () => {
    await bench.remember({ text, tags: ['home'] });
    await bench.consolidate();
    const { id } = await observation(bench, text);
    const { db } = bench.database;
    const bankId = bench.bankId;
    expect(await loadRelated(db, { bankId, tags: ['home'], ids: [id] })).toHaveLength(1);
    expect(await loadRelated(db, { bankId, tags: [], ids: [id] })).toEqual([]);
    expect(await observationsByWords(db, { bankId, tags: ['home'], queries: ['tea', 'milk'], limit: 4 })).toEqual([
      [id],
      [],
    ]);
    expect(await observationsByWords(db, { bankId, tags: [], queries: ['tea'], limit: 4 })).toEqual([[]]);
  });
});

describe('banks (L21)', () => {
  it('never see each other’s observations', async () => {
    await bench.remember(text);
    await bench.consolidate();
    const [first] = await observations(bench);
    const otherBank = bench.bankId;
    await bench.freshBank();
    await bench.remember(text);
    await bench.consolidate();
    expect(shown()).toEqual([[]]);
    expect(bench.decider.pairs).toEqual([]);
    const [second] = await observations(bench);
    expect(second?.id).not.toBe(first?.id);
    const { db } = bench.database;
    expect(await loadRelated(db, { bankId: bench.bankId, tags: [], ids: [first?.id ?? ''] })).toEqual([]);
    expect(otherBank).not.toBe(bench.bankId);
  });
});

describe('recall shows a batch', () => {
  it('what shares words with a memory though it is far by meaning, best first', async () => {
    await bench.remember('The printer in room 12 is out of toner', 'The roof leaks');
    await bench.consolidate();
    await bench.remember('Who buys toner, and where do we keep the spare cartridges for such a case?');
    await bench.consolidate();
    expect(shown().at(-1)?.[0]).toBe('The printer in room 12 is out of toner');
  });

  it('the twin of every memory, whatever the neighbours of the others; one too large to show is still found', async () => {
    const long = `Ana drinks tea ${'and tells a story '.repeat(900)}`;
    await bench.remember(long, 'Ana drinks tea', 'Ben drinks milk');
    await bench.consolidate();
    const [again = ''] = await bench.remember(long);
    await bench.consolidate();
    expect(shown().at(-1)).not.toContain(long);
    const rows = (await observations(bench)).filter((row) => row.text === long);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.sources.map((source) => source.id)).toContain(again);
  });
});
