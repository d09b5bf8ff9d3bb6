import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decide, observe } from '../consolidation/decide.ts';
import { observations, states } from '../consolidation/store-view.ts';
import { observationAlias } from '../consolidation/workbench.ts';
import { curationOf } from './curation-bench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
let curation: Awaited<ReturnType<typeof curationOf>>;
beforeAll(async () => {
  undo = await createUndoBench();
  curation = await curationOf(undo.bench);
});
beforeEach(() => undo.bench.freshBank());
afterAll(() => undo.bench.close());

const tea = 'Ana drinks tea';
const both = 'Ana drinks tea, green tea';

/** One observation over as many memories as there are texts. */
async function resting(...texts: string[]): Promise<string[]> {
  const ids = await observe(undo.bench, tea);
  for (const text of texts) {
    const { id } = await decide(undo.bench, text, (batch, memory) => [
      {
        op: 'revise',
        target: batch.observations[0]?.alias ?? observationAlias(batch, tea),
        text: both,
        memories: [memory],
        reason: 'fuller',
      },
    ]);
    ids.push(id);
  }
  undo.bench.decider.reset();
  return ids;
}

const shown = async () =>
  (await observations(undo.bench)).map((row) => ({ isLive: row.isLive, needsReplan: row.needsReplan }));

const harms = {
  edited: "update engram.memories set text = 'Ana hates all tea' where id = $1",
  invalidated: 'update engram.memories set invalidated_at = now() where id = $1',
  deleted: 'delete from engram.memories where id = $1',
};

describe('an undo of an undo over a memory that went meanwhile', () => {
  it.each(Object.entries(harms))('leaves the observation to be looked at: %s', async (_, harm) => {
    const { bench } = undo;
    const [m1 = '', m2 = ''] = await resting('Ana drinks green tea', 'Ana drinks green tea at noon');
    await bench.rows(harms.invalidated, [m1]);
    const { runId } = await bench.consolidate();
    const { runId: undoRun } = await undo.undo(runId);
    expect(await shown()).toEqual([{ isLive: true, needsReplan: true }]);
    await bench.rows(harm, [m2]);
    await undo.undo(undoRun);
    expect(await shown()).toEqual([{ isLive: true, needsReplan: true }]);
    await bench.consolidate();
    const [row] = await observations(bench);
    expect(row?.sources.map((source) => source.id)).not.toContain(m1);
    expect(row?.needsReplan).toBe(false);
    if (harm !== harms.edited) expect(row?.sources.map((source) => source.id)).not.toContain(m2);
  });

  it('brings it back unmarked where nothing went', async () => {
    const { bench } = undo;
    const [m1 = ''] = await resting('Ana drinks green tea', 'Ana drinks green tea at noon');
    await bench.rows(harms.invalidated, [m1]);
    const { runId } = await bench.consolidate();
    const after = await undo.view();
    const { runId: undoRun } = await undo.undo(runId);
    await undo.undo(undoRun);
    expect(await undo.view()).toEqual(after);
  });

  it('of what a person had kept as well', async () => {
    const { bench } = undo;
    const [m1 = '', , m3 = ''] = await resting('Ana drinks green tea', 'Ana drinks green tea at noon');
    const review = await bench.engineBeside({ apply: 'review' });
    await bench.rows(harms.invalidated, [m1]);
    await bench.consolidate({ engine: review });
    const [proposed] = await bench.rows<{ id: string }>(
      "select id from engram.change_sets where bank_id = $1 and status = 'proposed'",
      [bench.bankId],
    );
    expect((await curation.reject({ bankId: bench.bankId, id: proposed?.id ?? '' })).kept).toHaveLength(1);
    const [kept] = await bench.rows<{ id: string }>(
      "select id from engram.change_sets where bank_id = $1 and kind = 'curation'",
      [bench.bankId],
    );
    const { runId: undoRun } = await undo.undo(kept?.id ?? '');
    await bench.rows(harms.invalidated, [m3]);
    await undo.undo(undoRun);
    expect(await shown()).toEqual([{ isLive: true, needsReplan: true }]);
  });
});

describe('a run one of whose memories changed since', () => {
  it.each(Object.entries(harms))('can be taken back before anything was written again: %s', async (_, harm) => {
    const { bench } = undo;
    const [m1 = ''] = await bench.remember('Ana drinks tea', 'Ben drinks wine');
    const { runId } = await bench.consolidate();
    await bench.rows(harm, [m1]);
    const { runId: undoRun } = await undo.undo(runId);
    expect(await shown()).toEqual([
      { isLive: false, needsReplan: false },
      { isLive: false, needsReplan: false },
    ]);
    expect((await states(bench))['Ben drinks wine']).toBe('held');
    const again = await undo.undo(undoRun).catch((thrown: unknown) => thrown);
    if (again instanceof Error) expect(again).toMatchObject({ code: 'LATER_CHANGES' });
    else expect((await shown())[0]).toEqual({ isLive: true, needsReplan: true });
  });

  it('is refused for the run that wrote it again, by name, and goes after that', async () => {
    const { bench } = undo;
    const [m1 = ''] = await bench.remember('Ana drinks tea', 'Ben drinks wine');
    const first = await bench.consolidate();
    await bench.rows(harms.invalidated, [m1]);
    const second = await bench.consolidate();
    const [set] = await bench.rows<{ id: string }>('select id from engram.change_sets where run_id = $1', [
      second.runId,
    ]);
    await expect(undo.undo(first.runId)).rejects.toMatchObject({ later: [{ op: 'retire', changeSetId: set?.id }] });
    await undo.undo(second.runId);
    await undo.undo(first.runId);
    expect((await shown()).some((row) => row.isLive || row.needsReplan)).toBe(false);
  });

  it.each(Object.entries(harms))('keeps the mark on an observation that stays: %s', async (_, harm) => {
    const { bench } = undo;
    const [m1 = ''] = await observe(bench, tea);
    await decide(bench, 'Ana drinks green tea', (batch, memory) => [
      { op: 'revise', target: observationAlias(batch, tea), text: both, memories: [memory], reason: 'fuller' },
    ]);
    await bench.rows(harm, [m1]);
    const [set] = await bench.rows<{ id: string }>(
      'select id from engram.change_sets where bank_id = $1 order by created_at desc, id desc limit 1',
      [bench.bankId],
    );
    await undo.undo(set?.id ?? '');
    const [row] = await observations(bench);
    expect(row).toMatchObject({ text: tea, isLive: true, needsReplan: true });
  });
});
