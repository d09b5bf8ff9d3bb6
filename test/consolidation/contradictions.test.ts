import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import { findConflict, writeConflicts } from '../../src/store/conflicts.ts';
import { observe } from './decide.ts';
import { changes, eventKinds, observation, observations } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const nine = 'the shop in the long street opens at nine on every day of the week but one';
const ten = 'the shop in the long street opens at ten on every day of the week but one';

const findNow = (more: { limit?: number; signal?: AbortSignal } = {}) =>
  bench.engine.findContradictions({ bankId: bench.bankId, signal: new AbortController().signal, ...more });

/** A search when no other transaction of the server (of another test's database, too) is older than the bank's last one. */
async function find(more: { limit?: number; signal?: AbortSignal } = {}) {
  for (;;) {
    const [row] = await bench.rows<{ ended: boolean }>(
      `select coalesce(max(change_xid::text::bigint), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint as ended
       from engram.observations where bank_id = $1`,
      [bench.bankId],
    );
    if (row?.ended) return findNow(more);
  }
}

const conflicts = () =>
  bench.rows<{ left_id: string; right_id: string; status: string; reason: string }>(
    'select left_id, right_id, status, reason from engram.conflicts where bank_id = $1',
    [bench.bankId],
  );
const markOf = async () =>
  (
    await bench.rows<{ seen: string }>(
      "select seen_xid::text || '/' || seen_id as seen from engram.contradiction_marks where bank_id = $1",
      [bench.bankId],
    )
  )[0]?.seen;

describe('two observations that cannot both hold', () => {
  it('are listed, once, with a change set that an undo can read', async () => {
    await observe(bench, nine, ten, 'Ana drinks tea');
    const before = await observations(bench);
    bench.decider.pairs = [];
    bench.decider.adjudicate_ = () => 'contradicts';
    expect(await find()).toEqual({ outcome: 'done', retryAt: null, pairs: 1, conflicts: 1 });
    const [left, right] = [await observation(bench, nine), await observation(bench, ten)];
    expect(bench.decider.pairs).toEqual([[nine, ten]]);
    expect(await conflicts()).toEqual([{ left_id: left.id, right_id: right.id, status: 'open', reason: 'scripted' }]);
    expect(await observations(bench), 'both stay as they are').toEqual(before);
    const change = (await changes(bench)).at(-1);
    expect(change).toMatchObject({
      op: 'conflict',
      status: 'applied',
      targetId: left.id,
      resultId: right.id,
      memoryIds: [],
    });
    expect(change?.after).toMatchObject({ created: null, conflicts: [{ left: left.id, right: right.id }] });
    expect((await eventKinds(bench)).at(-1)).toBe('observation.conflicted');
    expect(await find(), 'nothing has changed since').toEqual({
      outcome: 'done',
      retryAt: null,
      pairs: 0,
      conflicts: 0,
    });
  });

  it('are not asked about again once a person has resolved it, though one of them changes', async () => {
    await observe(bench, nine, ten);
    bench.decider.adjudicate_ = () => 'contradicts';
    await find();
    await bench.rows("update engram.conflicts set status = 'resolved', resolution = 'both' where bank_id = $1", [
      bench.bankId,
    ]);
    await bench.rows('update engram.observations set updated_at = now() where bank_id = $1', [bench.bankId]);
    expect(await find()).toMatchObject({ pairs: 0, conflicts: 0 });
  });

  it('are asked about again once the text of one has changed: it was resolved for what they said then', async () => {
    await observe(bench, nine, ten);
    bench.decider.adjudicate_ = () => 'contradicts';
    await find();
    const { id } = await observation(bench, ten);
    const [conflict] = await bench.rows<{ id: string }>('select id from engram.conflicts where bank_id = $1', [
      bench.bankId,
    ]);
    const image = await findConflict(bench.database.db, bench.bankId, conflict?.id ?? '');
    if (!image) throw new Error('no conflict');
    await bench.database.db.tx({ label: 'resolve' }, (tx) =>
      // By a clock that is wrong by years: the order of things is the server's.
      writeConflicts(tx, bench.bankId, [
        { ...image, status: 'resolved', resolution: 'both', resolvedAt: '2099-01-01T00:00:00.000Z' },
      ]),
    );
    await bench.rows('update engram.observations set updated_at = now() where bank_id = $1', [bench.bankId]);
    expect(await find()).toMatchObject({ pairs: 0 });
    await bench.rows('update engram.observations set text = $2, version = version + 1 where id = $1', [
      id,
      `${ten} or two`,
    ]);
    expect(await find()).toMatchObject({ pairs: 1, conflicts: 1 });
    expect((await conflicts()).map((one) => one.status).sort()).toEqual(['open', 'resolved']);
    expect(await find()).toMatchObject({ pairs: 0 });
  });

  it('are left alone where a date tells which is newer, or the decider sees no contradiction', async () => {
    await observe(bench, nine, ten);
    bench.decider.adjudicate_ = () => 'different';
    expect(await find()).toMatchObject({ pairs: 1, conflicts: 0 });
    await bench.freshBank();
    await observe(bench, { text: nine, mentionedAt: '2026-03-01T00:00:00Z' });
    await observe(bench, { text: ten, mentionedAt: '2026-04-01T00:00:00Z' });
    await bench.rows('delete from engram.contradiction_marks');
    bench.decider.adjudicate_ = () => 'supersedes';
    expect(await find()).toMatchObject({ pairs: 1, conflicts: 0 });
    expect(await conflicts()).toEqual([]);
  });

  it('are only looked for in one scope', async () => {
    await observe(bench, { text: nine, tags: ['a'] }, { text: ten, tags: ['b'] });
    bench.decider.adjudicate_ = () => 'contradicts';
    expect(await find()).toMatchObject({ pairs: 0 });
  });

  it('and of which one changed while it was judged are not listed', async () => {
    await observe(bench, nine, ten);
    const { id } = await observation(bench, ten);
    bench.decider.adjudicate_ = () => 'contradicts';
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const adjudicate = bench.decider.adjudicate.bind(bench.decider);
    bench.decider.adjudicate = async (...args) => {
      asked.resolve();
      await answer.promise;
      return adjudicate(...args);
    };
    const finding = find();
    await asked.promise;
    await bench.rows('update engram.observations set retired_at = now(), version = version + 1 where id = $1', [id]);
    answer.resolve();
    expect(await finding).toMatchObject({ pairs: 1, conflicts: 0 });
    expect(await conflicts()).toEqual([]);
    bench.decider.adjudicate = adjudicate;
  });
});

describe('the mark', () => {
  it('does not pass what a spent budget left: the next search asks about it', async () => {
    await observe(bench, nine, ten);
    const retryAt = new Date('2026-03-02T00:00:00Z');
    bench.decider.adjudicate_ = () => {
      throw new BudgetSpentError('the budget is spent', retryAt);
    };
    expect(await find()).toEqual({ outcome: 'deferred', retryAt, pairs: 1, conflicts: 0 });
    bench.decider.adjudicate_ = () => 'contradicts';
    expect(await find()).toMatchObject({ outcome: 'done', pairs: 1, conflicts: 1 });
  });

  it('does not pass what an abort left', async () => {
    await observe(bench, nine, ten);
    const stop = new AbortController();
    bench.decider.adjudicate_ = () => {
      stop.abort();
      throw stop.signal.reason;
    };
    expect(await find({ signal: stop.signal })).toMatchObject({ outcome: 'deferred', retryAt: null, conflicts: 0 });
    bench.decider.adjudicate_ = () => 'contradicts';
    expect(await find()).toMatchObject({ outcome: 'done', conflicts: 1 });
  });

  it('stands behind what a limit left, and each search gets on', async () => {
    for (const n of [1, 2, 3]) await observe(bench, `${nine} ${n} ${n}`, `${ten} ${n} ${n}`);
    bench.decider.adjudicate_ = () => 'different';
    let searches = 0;
    let outcome = '';
    for (let before: string | undefined = ''; outcome !== 'done' && searches < 20; searches += 1) {
      ({ outcome } = await find({ limit: 1 }));
      const mark = await markOf();
      expect(mark).not.toBe(before);
      before = mark;
    }
    expect(outcome).toBe('done');
    expect(searches).toBeGreaterThan(1);
  });

  it('stands in the midst of a transaction that wrote every row, as a change of models does', async () => {
    const texts = Array.from({ length: 12 }, (_, n) => `${nine} ${n} ${n}`);
    await observe(bench, ...texts);
    bench.decider.adjudicate_ = () => 'different';
    await find();
    await bench.rows('update engram.observations set embedding = embedding where bank_id = $1', [bench.bankId]);
    bench.decider.pairs = [];
    expect(await find({ limit: 1 })).toMatchObject({ outcome: 'deferred' });
    expect(bench.decider.pairs.length, 'no more than the neighbours of one').toBeLessThanOrEqual(5);
    const first = bench.decider.pairs.length;
    expect(await find()).toMatchObject({ outcome: 'done' });
    const asked = bench.decider.pairs.length - first;
    await bench.rows('delete from engram.contradiction_marks');
    bench.decider.pairs = [];
    await find();
    expect(asked, 'the second went on where the first came to').toBeLessThanOrEqual(bench.decider.pairs.length);
    expect(await find()).toMatchObject({ outcome: 'done', pairs: 0 });
  });

  it('does not pass the row at which an abort came, and passes those before it', async () => {
    const texts = Array.from({ length: 6 }, (_, n) => `${nine} ${n} ${n}`);
    await observe(bench, ...texts);
    bench.decider.adjudicate_ = () => 'different';
    await find();
    await bench.rows('update engram.observations set embedding = embedding where bank_id = $1', [bench.bankId]);
    const [xid] = (await markOf())?.split('/') ?? [];
    const stop = new AbortController();
    let pairs = 0;
    bench.decider.adjudicate_ = () => {
      pairs += 1;
      if (pairs === 7) stop.abort();
      return 'different';
    };
    expect(await find({ signal: stop.signal })).toMatchObject({ outcome: 'deferred' });
    const [changed] = await bench.rows<{ xid: string; ids: string[] }>(
      'select change_xid::text as xid, array_agg(id order by id) as ids from engram.observations where bank_id = $1 group by 1',
      [bench.bankId],
    );
    const [seenXid, seenId = ''] = (await markOf())?.split('/') ?? [];
    expect(seenXid).not.toBe(xid);
    expect(seenXid).toBe(changed?.xid);
    expect(changed?.ids.indexOf(seenId)).toBe(0);
  });

  it('does not pass what commits late', async () => {
    await observe(bench, nine, ten);
    await find();
    const { id: late } = await observation(bench, nine);
    const touched = Promise.withResolvers<void>();
    const commit = Promise.withResolvers<void>();
    const writing = bench.database.db.tx({ label: 'late' }, async (tx) => {
      await tx.query('update engram.observations set updated_at = now() where id = $1', [late]);
      touched.resolve();
      await commit.promise;
    });
    await touched.promise;
    // A later transaction ends first.
    await bench.rows('update engram.banks set mission = $2 where id = $1', [bench.bankId, 'later']);
    expect(await findNow()).toMatchObject({ outcome: 'done', pairs: 0 });
    commit.resolve();
    await writing;
    expect(await find()).toMatchObject({ outcome: 'done', pairs: 1 });
  });
});
