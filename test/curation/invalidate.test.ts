import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decide, observe } from '../consolidation/decide.ts';
import { eventKinds, liveTexts, memories, observation } from '../consolidation/store-view.ts';
import { createWorkbench, observationAlias, type Workbench } from '../consolidation/workbench.ts';
import { curationOf } from './curation-bench.ts';

let bench: Workbench;
let curation: Awaited<ReturnType<typeof curationOf>>;
beforeAll(async () => {
  bench = await createWorkbench();
  curation = await curationOf(bench);
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const invalidate = (memoryId: string) => curation.invalidate({ bankId: bench.bankId, memoryId });

describe('a memory that is invalidated', () => {
  it('says what rests on it, and what it says comes about with the next run', async () => {
    const [alone = '', shared = ''] = await observe(bench, 'Ana drinks tea', 'Ben drinks milk');
    await decide(bench, 'Ben does drink milk', (batch, m) => [
      { op: 'reinforce', target: observationAlias(batch, 'Ben drinks milk'), memories: [m], reason: '' },
    ]);
    const [tea, milk] = [await observation(bench, 'Ana drinks tea'), await observation(bench, 'Ben drinks milk')];
    expect(await invalidate(alone)).toMatchObject({
      memoryId: alone,
      already: false,
      observations: [{ id: tea.id, text: 'Ana drinks tea', fate: 'retire' }],
    });
    expect(await invalidate(shared)).toMatchObject({ observations: [{ id: milk.id, fate: 'rewrite' }] });
    expect(curation.hinted).toContain(bench.bankId);
    expect((await observation(bench, 'Ana drinks tea')).needsReplan).toBe(true);

    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ben does drink milk']);
    expect((await observation(bench, 'Ana drinks tea')).isRetired).toBe(true);
  });

  it('is invalid once: the second time nothing moves', async () => {
    const [id = ''] = await observe(bench, 'Ana drinks tea');
    const first = await invalidate(id);
    const kinds = await eventKinds(bench);
    expect(await invalidate(id)).toMatchObject({ already: true, invalidatedAt: first?.invalidatedAt });
    expect(await eventKinds(bench)).toEqual(kinds);
    expect((await memories(bench))[0]).toMatchObject({ version: 2 });
  });

  it.each(['pending', 'held', 'parked', 'proposed'])('that was %s is no longer work', async (state) => {
    const [id = ''] = await bench.remember('Ana drinks tea');
    await bench.rows('update engram.memories set state = $2 where id = $1', [id, state]);
    await invalidate(id);
    const report = await bench.consolidate();
    expect(report.counts.memories).toBe(0);
    expect((await memories(bench))[0]).toMatchObject({ isDue: false });
  });

  it('keeps the words of what is history already', async () => {
    const [tea = ''] = await observe(bench, { text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    await decide(bench, 'Ana drinks coffee', (batch, m) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana drinks coffee',
        memories: [m],
        validFrom: new Date('2026-03-05'),
        reason: '',
      },
    ]);
    expect((await invalidate(tea))?.observations.map((row) => row.fate)).toEqual(['history']);
  });

  it('of another bank or of none is not found', async () => {
    const [id = ''] = await bench.remember('Ana drinks tea');
    expect(await curation.invalidate({ bankId: 'nowhere', memoryId: id })).toBeNull();
    expect(await invalidate('00000000-0000-7000-8000-000000000000')).toBeNull();
  });
});
