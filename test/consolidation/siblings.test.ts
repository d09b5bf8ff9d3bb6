import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch, ProposedOp, Verdict } from '../../src/consolidation/decider.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { AskingDecider } from './asking-decider.ts';
import { liveTexts, memories, observation, observations } from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, type Workbench } from './workbench.ts';

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

const short = 'the red bike of Ana stands in the yard';
const long = `${short} again`;

describe('two texts of one answer that are alike', () => {
  const both = [
    { text: short, mentionedAt: '2026-03-01T00:00:00Z' },
    { text: long, mentionedAt: '2026-03-02T00:00:00Z' },
  ];

  it('are put before the decider as a pair, and the same is one observation with the evidence of both', async () => {
    const ids = await bench.remember(...both);
    decider.adjudicate_ = () => 'same';
    await bench.consolidate({ engine });
    expect(decider.pairs).toEqual([[short, long]]);
    expect((await observation(bench, short)).sources.map((source) => source.id)).toEqual(ids);
    expect(await observations(bench)).toHaveLength(1);
    expect(decider.options.at(-1)).toMatchObject({ bankId: bench.bankId, subjectIds: ids });
  });

  it.each([
    ['different', [short, long]],
    ['supersedes', [long]],
    ['contradicts', [short, long]],
  ] as const)('judged %s stand as %j', async (verdict: Verdict, texts) => {
    await bench.remember(...both);
    decider.propose_ = (batch) =>
      batch.memories.map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text, memory.mentionedAt));
    decider.adjudicate_ = () => verdict;
    await bench.consolidate({ engine });
    expect(decider.pairs).toHaveLength(1);
    expect(await liveTexts(bench)).toEqual([...texts].sort());
    const conflicts = await bench.rows('select from engram.conflicts where bank_id = $1', [bench.bankId]);
    expect(conflicts).toHaveLength(verdict === 'contradicts' ? 1 : 0);
    expect((await memories(bench)).every((memory) => memory.state === 'consolidated')).toBe(true);
  });

  it('told the newer first: the older is superseded when it arrives', async () => {
    await bench.remember(...both);
    decider.propose_ = (batch) =>
      [...batch.memories]
        .reverse()
        .map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text, memory.mentionedAt));
    decider.adjudicate_ = () => 'superseded_by';
    await bench.consolidate({ engine });
    expect(decider.pairs).toEqual([[long, short]]);
    expect(await liveTexts(bench)).toEqual([long]);
    expect((await observation(bench, short)).supersededBy).toBe((await observation(bench, long)).id);
  });

  it('in the same words but for case and stop: nobody is asked', async () => {
    await bench.remember(short, `${short.toUpperCase()}.`);
    await bench.consolidate({ engine });
    expect(decider.pairs).toEqual([]);
    expect(await observations(bench)).toHaveLength(1);
  });

  it('that differ in a value are never the same (L9)', async () => {
    await bench.remember(`${short} since order 1123`, `${short} since order 1124`);
    decider.adjudicate_ = () => 'same';
    await bench.consolidate({ engine });
    expect(await observations(bench)).toHaveLength(2);
  });

  it('of which the answer makes use of one: nobody is asked, it has thought about them', async () => {
    await bench.remember(...both, `${short} indeed`);
    decider.propose_ = (batch: Batch): ProposedOp[] => [
      createOp(memoryAlias(batch, short), 'n1', short, new Date('2026-03-01')),
      {
        op: 'supersede',
        target: 'n1',
        as: 'n2',
        text: long,
        memories: [memoryAlias(batch, long)],
        validFrom: new Date('2026-03-02'),
        reason: 'newer',
      },
      createOp(memoryAlias(batch, `${short} indeed`), 'n3', `${short} indeed`),
    ];
    decider.adjudicate_ = () => 'same';
    await bench.consolidate({ engine });
    expect(decider.pairs).toEqual([]);
    expect(await liveTexts(bench)).toEqual([long, `${short} indeed`].sort());
  });

  it('twelve of them: six pairs are asked about, not sixty-six', async () => {
    const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'];
    const names = words.map(
      (_, index) => `the red bike of Ana stands in the yard beside gate ${'abcdefghijkl'[index]}`,
    );
    await bench.remember(...names);
    decider.adjudicate_ = () => 'different';
    await bench.consolidate({ engine });
    expect(decider.pairs).toHaveLength(6);
    expect(await observations(bench)).toHaveLength(12);
  });
});

describe('pairs with what the decider was not shown', () => {
  /** Two observations that recall has no room for. */
  async function unseen() {
    await bench.remember('the red bike of Ana stands in the yard', 'the big dog of Ben sleeps on the sofa');
    decider.adjudicate_ = () => 'different';
    await bench.consolidate({ engine });
    decider.limits = { ...decider.limits, observationTokens: 0 };
    await bench.remember(
      'the red bike of Ana stands in the yard indeed',
      'the big dog of Ben sleeps on the sofa indeed',
    );
  }

  it('are judged side by side, not one after the other', async () => {
    await unseen();
    let together = 0;
    const all = Promise.withResolvers<void>();
    const adjudicate = decider.adjudicate.bind(decider);
    decider.adjudicate = async (...args) => {
      together += 1;
      if (together === 2) all.resolve();
      await all.promise;
      return adjudicate(...args);
    };
    decider.adjudicate_ = () => 'same';
    try {
      await bench.consolidate({ engine });
    } finally {
      Reflect.deleteProperty(decider, 'adjudicate');
    }
    expect(decider.pairs).toHaveLength(2);
    expect(await observations(bench)).toHaveLength(2);
  });

  it('of two texts that supersede one observation: the second is decided again, beside the first', async () => {
    await bench.remember({ text: short, mentionedAt: '2026-03-01T00:00:00Z' });
    await bench.consolidate({ engine });
    decider.limits = { ...decider.limits, observationTokens: 0 };
    await bench.remember(
      { text: `${short} now`, mentionedAt: '2026-03-05T00:00:00Z' },
      { text: `${short} today still`, mentionedAt: '2026-03-06T00:00:00Z' },
    );
    decider.propose_ = (batch) =>
      batch.observations.length > 0
        ? batch.memories.map(({ alias }) => ({ op: 'skip', memories: [alias], reason: 'shown now' }))
        : batch.memories.map((memory, index) =>
            createOp(memory.alias, `n${index + 1}`, memory.text, memory.mentionedAt),
          );
    decider.adjudicate_ = (held) => (held === short ? 'supersedes' : 'different');
    await bench.consolidate({ engine });
    expect(decider.batches.at(-1)?.observations.map((shown) => shown.text)).toEqual([short]);
    expect((await memories(bench)).every((memory) => memory.state === 'consolidated')).toBe(true);
  });
});
