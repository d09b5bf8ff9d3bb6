import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Curation, createCuration } from '../../src/curation/create-curation.ts';
import { lossFigures } from '../../src/store/observations.ts';
import { decide, observe, vectorOf } from '../consolidation/decide.ts';
import { changes, eventKinds, observation } from '../consolidation/store-view.ts';
import { observationAlias } from '../consolidation/workbench.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
let curation: Curation;
beforeAll(async () => {
  undo = await createUndoBench();
  curation = createCuration({ ...undo.deps, decider: { name: 'scripted/1' }, hint: async () => undefined });
});
beforeEach(() => undo.bench.freshBank());
afterAll(() => undo.bench.close());

const [kettle, copper] = ['There is a kettle on the stove', 'There is a copper kettle on the stove'];
const [nine, ten] = ['The shop opens at nine', 'The shop opens at ten'];

/** "nine" and "ten" cannot both hold; which side is which follows their ids. */
async function conflict(dates: { nine?: string; ten?: string } = {}) {
  const { bench } = undo;
  await observe(bench, { text: nine, ...(dates.nine ? { mentionedAt: dates.nine } : {}) });
  const validFrom = dates.ten ? new Date(dates.ten) : null;
  await decide(bench, ten, (batch, m) => [
    {
      op: 'conflict',
      target: observationAlias(batch, nine),
      as: 'n1',
      text: ten,
      memories: [m],
      validFrom,
      reason: 'two times',
    },
  ]);
  if (dates.nine) {
    await bench.rows('update engram.observations set valid_from = $2 where bank_id = $1 and text = $3', [
      bench.bankId,
      dates.nine,
      nine,
    ]);
  }
  const [row] = await bench.rows<{ id: string; left_id: string }>(
    'select id, left_id from engram.conflicts where bank_id = $1',
    [bench.bankId],
  );
  const nineId = (await observation(bench, nine)).id;
  const sideOf = (text: string): 'left' | 'right' => ((row?.left_id === nineId) === (text === nine) ? 'left' : 'right');
  const { bankId } = bench;
  const resolve = (keep: 'left' | 'right' | 'both') =>
    curation.resolveConflict({ bankId, conflictId: row?.id ?? '', keep });
  return { id: row?.id ?? '', sideOf, resolve };
}

async function row(): Promise<Record<string, unknown>> {
  const [one] = await undo.bench.rows(
    'select status, resolution, resolved_at is not null as "isResolved", change_set_id as "changeSetId" from engram.conflicts where bank_id = $1',
    [undo.bench.bankId],
  );
  return one ?? {};
}

describe('a conflict that a person resolves', () => {
  it('has the side that held earlier superseded by the one that is kept', async () => {
    const { bench } = undo;
    const { resolve, sideOf } = await conflict({ nine: '2026-01-01T00:00:00Z', ten: '2026-02-01T00:00:00Z' });
    const before = await undo.view();
    const report = await resolve(sideOf(ten));
    expect(await observation(bench, nine)).toMatchObject({
      supersededBy: (await observation(bench, ten)).id,
      validTo: '2026-02-01',
      version: 2,
    });
    expect(report.outcome).toMatchObject({ fate: 'superseded' });
    expect(await row()).toEqual({
      status: 'resolved',
      resolution: sideOf(ten),
      isResolved: true,
      changeSetId: report.changeSetId,
    });
    expect((await changes(bench)).at(-1)).toMatchObject({
      op: 'supersede',
      status: 'applied',
      reason: 'resolved by a person',
    });
    expect(await eventKinds(bench)).toEqual(expect.arrayContaining(['conflict.resolved', 'observation.superseded']));
    await expect(resolve(sideOf(ten))).rejects.toMatchObject({ code: 'NOT_OPEN', exitCode: 4 });
    await undo.undo(report.changeSetId);
    expect(await undo.view()).toEqual(before);
  });

  it('has the other side retired where nothing tells that it held earlier', async () => {
    const { bench } = undo;
    const { resolve, sideOf } = await conflict({ nine: '2026-03-01T00:00:00Z', ten: '2026-02-01T00:00:00Z' });
    const before = await undo.view();
    const report = await resolve(sideOf(ten));
    expect(await observation(bench, nine)).toMatchObject({ isRetired: true, supersededBy: null });
    expect(await observation(bench, ten)).toMatchObject({ isLive: true });
    const back = await undo.undo(report.changeSetId);
    expect(await undo.view()).toEqual(before);
    await undo.undo(back.runId);
    expect(await observation(bench, nine)).toMatchObject({ isRetired: true });
    expect(await row()).toMatchObject({ status: 'resolved', resolution: sideOf(ten) });
  });

  it('is only closed where both are kept, and that too can be undone', async () => {
    const { resolve } = await conflict();
    const before = await undo.view();
    const report = await resolve('both');
    expect(report.outcome).toBeNull();
    expect(await undo.view()).toMatchObject({ rows: before.rows });
    expect(await row()).toMatchObject({ status: 'resolved', resolution: 'both' });
    await undo.undo(report.changeSetId);
    expect(await undo.view()).toEqual(before);
  });

  it('stands in the way of undoing what found it', async () => {
    const { bench } = undo;
    const { resolve, sideOf } = await conflict();
    const [found] = await bench.rows<{ id: string }>(
      'select change_set_id as id from engram.change_ops where bank_id = $1 and op = $2',
      [bench.bankId, 'conflict'],
    );
    const { changeSetId } = await resolve(sideOf(nine));
    await expect(undo.undo(found?.id ?? '')).rejects.toMatchObject({ later: [{ changeSetId }] });
    await undo.undo(changeSetId);
    await undo.undo(found?.id ?? '');
    expect(await bench.rows('select 1 from engram.conflicts where bank_id = $1', [bench.bankId])).toEqual([]);
  });

  it('keeps nothing that is no longer current', async () => {
    const { bench } = undo;
    const { resolve, sideOf } = await conflict();
    await bench.rows(
      'update engram.observations set retired_at = now(), version = 2 where bank_id = $1 and text = $2',
      [bench.bankId, nine],
    );
    await expect(resolve(sideOf(nine))).rejects.toMatchObject({ code: 'NOT_CURRENT' });
    expect((await resolve(sideOf(ten))).outcome).toBeNull();
  });

  it('counts as no loss, and is not there in another bank', async () => {
    const { id, resolve, sideOf } = await conflict();
    const { bankId } = undo.bench;
    await undo.bench.freshBank();
    await expect(
      curation.resolveConflict({ bankId: undo.bench.bankId, conflictId: id, keep: 'both' }),
    ).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(resolve(sideOf(nine))).resolves.toMatchObject({ outcome: { fate: 'retired' } });
    const figures = await lossFigures(undo.bench.database.db, bankId, id);
    expect(figures).toMatchObject({ live: 1, retiredIn90Days: 0 });
  });
});

describe('texts of a model that was left', () => {
  it('come back with a vector of the model in use, made before the transaction', async () => {
    const { bench } = undo;
    await observe(bench, kettle);
    await decide(bench, copper, (batch, m) => [
      { op: 'revise', target: observationAlias(batch, kettle), text: copper, memories: [m], reason: 'changed' },
    ]);
    // As after a change of the model: the rows have vectors of the new one, history has those of the old one.
    await bench.rows(
      "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('local/older', 'local', 512, false) on conflict do nothing",
    );
    await bench.rows(
      "update engram.change_ops set before_embedding_model = 'local/older', after_embedding_model = 'local/older', before_embedding = array_send('{1,2}'::real[]) where bank_id = $1",
      [bench.bankId],
    );
    const [set] = await bench.rows<{ id: string }>(
      "select change_set_id as id from engram.change_ops where bank_id = $1 and op = 'revise'",
      [bench.bankId],
    );
    const calls = bench.embedder.calls.length;
    await undo.undo(set?.id ?? '');
    expect(bench.embedder.calls.slice(calls).map((call) => call.texts)).toEqual([[kettle]]);
    expect(await observation(bench, kettle)).toMatchObject({ isLive: true, vector: await vectorOf(bench, kettle) });
  });
});

it('a set of contradictions is undone like any other', async () => {
  const { bench } = undo;
  const shop = 'The little corner shop in the old part of the town by the river opens every day at';
  await observe(bench, `${shop} nine`, `${shop} ten`);
  const before = await undo.view();
  bench.decider.adjudicate_ = () => 'contradicts';
  // Again while a transaction of another test's database is older: the search looks at what is before all of them.
  const search = { bankId: bench.bankId, signal: new AbortController().signal };
  while ((await bench.engine.findContradictions(search)).conflicts === 0);
  const [set] = await bench.rows<{ id: string }>(
    "select id from engram.change_sets where bank_id = $1 and kind = 'contradictions'",
    [bench.bankId],
  );
  expect(await bench.rows('select 1 from engram.conflicts where bank_id = $1', [bench.bankId])).toHaveLength(1);
  await undo.undo(set?.id ?? '');
  expect(await undo.view()).toEqual(before);
});
