import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attemptOutcomes, changes, liveTexts, memories, observation, observations, states } from './store-view.ts';
import { createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const three = ['Ana drinks tea', 'Ben drinks milk', 'Cy drinks water'] as const;

/** Something happens to the store while a batch waits at the decider. */
async function whileAtTheDecider(meanwhile: () => Promise<unknown>) {
  const atDecider = bench.races.hold('batch:proposed');
  const slice = bench.consolidate();
  await atDecider.reached;
  await meanwhile();
  atDecider.release();
  const report = await slice;
  expect(bench.logged).toEqual([]);
  return report;
}

describe('while its batch is at the decider, a memory is', () => {
  it('edited: the edit stays pending as the new version, is decided anew, and the others are applied (L2)', async () => {
    const [, ben = ''] = await bench.remember(...three);
    const afterFirstApply: unknown[] = [];
    bench.races.at('apply:after-commit', async () => {
      if (afterFirstApply.length === 0) afterFirstApply.push(...(await memories(bench)));
    });
    const report = await whileAtTheDecider(() =>
      bench.rows('update engram.memories set text = $2 where id = $1', [ben, 'Ben drinks oat milk']),
    );
    expect(afterFirstApply).toMatchObject([
      { state: 'consolidated' },
      { text: 'Ben drinks oat milk', state: 'pending', version: 2, attempts: 0, isDue: true },
      { state: 'consolidated' },
    ]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Ben drinks oat milk', 'Cy drinks water']);
    expect((await observation(bench, 'Ben drinks oat milk')).sources).toEqual([{ id: ben, version: 2 }]);
    expect(report.counts).toMatchObject({ memories: 3, batches: 1, replans: 1 });
    expect(await attemptOutcomes(bench)).toEqual(['applied']);
  });

  it('edited only in its date: what was decided over the old date is not applied', async () => {
    const [, ben = ''] = await bench.remember(...three);
    await whileAtTheDecider(() =>
      bench.rows('update engram.memories set mentioned_at = $2 where id = $1', [ben, '2026-03-01T00:00:00Z']),
    );
    expect(await observation(bench, 'Ben drinks milk')).toMatchObject({
      validFrom: '2026-03-01',
      sources: [{ id: ben, version: 2 }],
    });
  });

  it('deleted: nothing is made of it, and the others are applied', async () => {
    const [, ben = ''] = await bench.remember(...three);
    const report = await whileAtTheDecider(() => bench.rows('delete from engram.memories where id = $1', [ben]));
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Cy drinks water']);
    expect(report.counts.memories).toBe(2);
    expect((await changes(bench)).flatMap((change) => change.memoryIds)).not.toContain(ben);
  });

  it('invalidated: nothing is made of it, and brought back it is work again', async () => {
    const [, ben = ''] = await bench.remember(...three);
    await whileAtTheDecider(() => bench.rows('update engram.memories set invalidated_at = now() where id = $1', [ben]));
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Cy drinks water']);
    expect((await states(bench))['Ben drinks milk']).toBe('pending');
    expect((await bench.consolidate()).counts.memories).toBe(0);
    await bench.rows('update engram.memories set invalidated_at = null where id = $1', [ben]);
    expect((await bench.consolidate()).counts.memories).toBe(1);
    expect((await observation(bench, 'Ben drinks milk')).sources).toEqual([{ id: ben, version: 3 }]);
  });

  it('parked by a person: it stays parked', async () => {
    const [, ben = ''] = await bench.remember(...three);
    await whileAtTheDecider(() => bench.rows("update engram.memories set state = 'parked' where id = $1", [ben]));
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Cy drinks water']);
    expect((await states(bench))['Ben drinks milk']).toBe('parked');
  });

  it('moved to another scope: it is decided in the new one only', async () => {
    const [, ben = ''] = await bench.remember(...three);
    await whileAtTheDecider(() => bench.rows("update engram.memories set tags = '{kitchen}' where id = $1", [ben]));
    await bench.consolidate();
    expect(await observation(bench, 'Ben drinks milk')).toMatchObject({
      tags: ['kitchen'],
      sources: [{ id: ben, version: 2 }],
    });
  });
});

describe('while texts are being embedded', () => {
  it('an unembedded memory is deleted: nothing is made of it', async () => {
    const ids = await bench.remember(...three.map((text) => ({ text, unembedded: true })));
    bench.embedder.onEmbed = async ({ purpose }) => {
      if (purpose === 'memory') await bench.rows('delete from engram.memories where id = $1', [ids[1]]);
    };
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Cy drinks water']);
  });

  it('an unembedded memory is edited: text and vector of its observation agree (L6)', async () => {
    const [id] = await bench.remember({ text: 'Ana drinks tea', unembedded: true });
    let edits = 0;
    bench.embedder.onEmbed = async ({ purpose }) => {
      if (purpose !== 'memory' || edits > 0) return;
      edits += 1;
      await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'Ana drinks mate']);
    };
    await bench.consolidate();
    const [row, ...others] = await observations(bench);
    expect(others).toEqual([]);
    const [expected] = await bench.remember('Ana drinks mate');
    const [vector] = await bench.rows<{ digest: string }>(
      'select md5(array_send(embedding)) as digest from engram.memories where id = $1',
      [expected],
    );
    expect(row).toMatchObject({ text: 'Ana drinks mate', vector: vector?.digest });
  });

  it('one of the two sources of a new text is deleted: it is not written, and the other decides alone', async () => {
    const [, ben] = await bench.remember('Ana drinks tea', 'Ben drinks tea');
    bench.decider.propose_ = (batch) => [
      {
        op: 'create',
        as: 'n1',
        text: `${batch.memories.map((memory) => memory.text).join(', ')}, I hear`,
        memories: batch.memories.map((memory) => memory.alias),
        validFrom: null,
        reason: 'together',
      },
    ];
    let deleted = false;
    bench.embedder.onEmbed = async ({ purpose }) => {
      if (purpose !== 'observation' || deleted) return;
      deleted = true;
      await bench.rows('delete from engram.memories where id = $1', [ben]);
    };
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea, I hear']);
  });

  it('a source of a target is deleted: nothing leans on the target until it is written again (L6)', async () => {
    const [old] = await bench.remember('Ana drinks tea');
    await bench.consolidate();
    await bench.remember('Ana drinks green tea');
    bench.decider.propose_ = (batch) =>
      batch.observations.length > 0
        ? [
            {
              op: 'revise',
              target: observationAlias(batch, 'Ana drinks tea'),
              text: 'Ana drinks tea, green tea',
              memories: [memoryAlias(batch, 'Ana drinks green tea')],
              reason: 'fuller',
            },
          ]
        : batch.memories.map((memory) => ({
            op: 'create' as const,
            as: 'n1',
            text: memory.text,
            memories: [memory.alias],
            validFrom: null,
            reason: 'new',
          }));
    bench.embedder.onEmbed = async ({ purpose }) => {
      if (purpose === 'observation') await bench.rows('delete from engram.memories where id = $1', [old]);
    };
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea'), 'marked, and as it was').toMatchObject({
      version: 1,
      needsReplan: true,
    });
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks green tea']);
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ isRetired: true });
  });
});
