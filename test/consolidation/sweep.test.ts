import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BuildBankGoneError, BuildTooLongError } from '../../src/builds/build-outcome.ts';
import { rememberVerdicts } from '../../src/consolidation/remember-verdicts.ts';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import type { ReadonlyNeighbours } from '../../src/store/neighbours/neighbour-lists.ts';
import { lossFigures } from '../../src/store/observations.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { settled } from '../support/settled.ts';
import { AskingDecider } from './asking-decider.ts';
import { observe } from './decide.ts';
import { changes, eventKinds, liveTexts, observation, observations } from './store-view.ts';
import { folds, fresh, good, sweep, sweepMark, sweepNow, two, warm } from './sweep-bench.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

/** Observations beside each other, and from here on a decider that takes what is alike for the same. */
async function twins(...texts: readonly string[]): Promise<string[]> {
  const ids = await observe(bench, ...texts);
  bench.decider.pairs = [];
  bench.decider.adjudicate_ = () => 'same';
  return ids;
}

describe('observations that say the same', () => {
  it('are one: the younger is folded into the older, with a change set of its own; a second sweep finds nothing', async () => {
    const ids = await twins(warm, fresh, 'Ana drinks tea');
    const before = await observation(bench, fresh);
    expect(await sweep(bench)).toEqual({
      outcome: 'done',
      retryAt: null,
      rows: 3,
      pairs: 1,
      folds: 1,
      proposed: 0,
      missed: 0,
    });
    expect(bench.decider.pairs).toEqual([[warm, fresh]]);
    const [root, folded] = [await observation(bench, warm), await observation(bench, fresh)];
    expect(folded).toEqual({ ...before, isLive: false, version: 2, canonicalId: root.id });
    expect(folded.sources, 'its evidence stays where it is').toEqual([{ id: ids[1], version: 1 }]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', warm]);
    expect((await changes(bench)).at(-1)).toMatchObject({
      op: 'fold',
      status: 'applied',
      targetId: folded.id,
      resultId: root.id,
      memoryIds: [],
      reason: 'scripted',
    });
    expect(await folds(bench)).toEqual(['sweep applied']);
    expect((await eventKinds(bench)).at(-1)).toBe('observation.folded');

    bench.decider.pairs = [];
    expect(await sweep(bench), 'its own output is nothing new (L10)').toMatchObject({ outcome: 'done', pairs: 0 });
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', pairs: 0 });
    expect(bench.decider.pairs, 'an unchanged store asks nobody').toEqual([]);
    expect(await sweepMark(bench), 'at the horizon, before whatever comes').toMatch(/\/[0-]+$/);
  });

  it('in review mode are proposed, once each, and nobody is told that they were folded', async () => {
    await twins(warm, fresh, good);
    const before = await observations(bench);
    const review = await bench.engineBeside({ apply: 'review' });
    expect(await sweep(bench, {}, review)).toMatchObject({ outcome: 'done', rows: 3, folds: 0, proposed: 2 });
    expect(await observations(bench)).toEqual(before);
    expect(await folds(bench)).toEqual(['sweep proposed', 'sweep proposed']);
    const runs = await bench.rows("select counts from engram.runs where bank_id = $1 and trigger = 'sweep'", [
      bench.bankId,
    ]);
    expect(runs).toEqual([{ counts: { pairs: 3, ops: { fold: 0 }, proposed: 2 } }]);
    expect(await sweep(bench, {}, review)).toMatchObject({ pairs: 0, proposed: 0 });
  });

  it('three of them are reached through the oldest', async () => {
    await twins(warm, fresh, good);
    expect(await sweep(bench)).toMatchObject({ pairs: 3, folds: 2, missed: 0 });
    const root = await observation(bench, warm);
    expect((await observations(bench)).map((row) => row.canonicalId)).toEqual([null, root.id, root.id]);
  });

  it('are not asked about where a number, a date, a name or a "not" differs, whatever the cosine (L9)', async () => {
    await twins(warm, two, warm.replace('sells', 'never sells'));
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', pairs: 0, folds: 0 });
    expect(bench.decider.pairs).toEqual([]);
  });

  it('in two scopes stay two (L7)', async () => {
    await observe(bench, { text: warm, tags: ['a'] }, { text: fresh, tags: ['b'] });
    bench.decider.adjudicate_ = () => 'same';
    expect(await sweep(bench)).toMatchObject({ pairs: 0, folds: 0 });
  });

  it.each(['different', 'contradicts'] as const)(
    'judged %s are left as they are, and listed nowhere',
    async (verdict) => {
      await twins(warm, fresh);
      bench.decider.adjudicate_ = () => verdict;
      const before = await observations(bench);
      expect(await sweep(bench)).toMatchObject({ outcome: 'done', pairs: 1, folds: 0 });
      expect(await observations(bench)).toEqual(before);
      expect(await bench.rows('select from engram.conflicts where bank_id = $1', [bench.bankId])).toEqual([]);
      expect(await sweep(bench)).toMatchObject({ pairs: 0 });
    },
  );

  it('judged to contradict each other are listed by the search for contradictions, which pays for no verdict again', async () => {
    await twins(warm, fresh);
    const asking = new AskingDecider(bench.database.db);
    asking.adjudicate_ = () => 'contradicts';
    const decider = rememberVerdicts(asking, { db: bench.database.db });
    const beside = await bench.engineBeside({ decider });
    expect(await sweep(bench, {}, beside)).toMatchObject({ pairs: 1, folds: 0 });
    const { signal } = new AbortController();
    expect(await beside.findContradictions({ bankId: bench.bankId, signal })).toMatchObject({ pairs: 1, conflicts: 1 });
    expect(asking.pairs).toEqual([[warm, fresh]]);
  });

  it('do not count as a loss, however many they are (L18)', async () => {
    const things = ['bread', 'wine', 'paper', 'rope', 'cloth'];
    await twins(
      ...things.flatMap((thing) => [warm, fresh].map((text) => text.replace('bread', `${thing} ${thing} ${thing}`))),
    );
    bench.decider.adjudicate_ = (a, b) =>
      things.every((one) => a.includes(one) === b.includes(one)) ? 'same' : 'different';
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 5 });
    const losses = await bench.database.db.tx({ label: 'losses' }, (tx) => lossFigures(tx, bench.bankId, uuid()));
    expect(losses).toEqual({ live: 5, retiredByRun: 0, retiredIn90Days: 0 });
  });
});

describe('a pair is left to people', () => {
  const conflict = (left: string, right: string, status: string) =>
    bench.rows(
      `insert into engram.conflicts (bank_id, id, left_id, right_id, status, resolution, settled_at)
       values ($1, $2, $3, $4, $5, case when $5 = 'resolved' then 'both' end, clock_timestamp())`,
      [bench.bankId, uuid(), left, right, status],
    );

  it('while the younger waits beside another for a person to say which holds', async () => {
    await twins(warm, fresh, 'Ana drinks tea');
    const [tea, younger] = [await observation(bench, 'Ana drinks tea'), await observation(bench, fresh)];
    const [left, right] = [tea.id, younger.id].sort();
    await conflict(left ?? '', right ?? '', 'open');
    expect(await sweep(bench)).toMatchObject({ pairs: 0, folds: 0 });
  });

  it('where a person has said that both hold, until a text changes', async () => {
    await twins(warm, fresh);
    const [older, younger] = [await observation(bench, warm), await observation(bench, fresh)];
    await conflict(older.id, younger.id, 'resolved');
    expect(await sweep(bench)).toMatchObject({ pairs: 0, folds: 0 });
    await bench.rows('update engram.observations set text = $2, version = version + 1 where id = $1', [
      younger.id,
      good,
    ]);
    expect(await sweep(bench)).toMatchObject({ pairs: 1, folds: 1 });
  });

  it('where something is superseded by the younger, and the older is not known to be later', async () => {
    await twins('Ana bakes', warm, fresh);
    const [bakes, younger] = [await observation(bench, 'Ana bakes'), await observation(bench, fresh)];
    await bench.rows("update engram.observations set valid_from = '2026-03-05' where id = $1", [bakes.id]);
    await bench.rows('update engram.observations set superseded_by = $2 where id = $1', [bakes.id, younger.id]);
    expect(await sweep(bench)).toMatchObject({ pairs: 0, folds: 0 });
    await bench.rows("update engram.observations set valid_from = '2026-03-09' where bank_id = $1 and text = $2", [
      bench.bankId,
      warm,
    ]);
    expect(await sweep(bench)).toMatchObject({ pairs: 1, folds: 1 });
    expect(await observation(bench, 'Ana bakes')).toMatchObject({ supersededBy: (await observation(bench, warm)).id });
  });
});

describe('the mark', () => {
  it('does not pass what a spent budget left: the next sweep asks about it', async () => {
    await twins(warm, fresh);
    const retryAt = new Date('2026-03-02T00:00:00Z');
    bench.decider.adjudicate_ = () => {
      throw new BudgetSpentError('the budget is spent', retryAt);
    };
    expect(await sweep(bench)).toEqual({
      outcome: 'deferred',
      retryAt,
      rows: 0,
      pairs: 1,
      folds: 0,
      proposed: 0,
      missed: 0,
    });
    expect(await sweepMark(bench)).toBeNull();
    bench.decider.adjudicate_ = () => 'same';
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', pairs: 1, folds: 1 });
  });

  it('does not pass what an abort left', async () => {
    await twins(warm, fresh);
    const stop = new AbortController();
    bench.decider.adjudicate_ = () => {
      stop.abort();
      return 'same';
    };
    expect(await sweep(bench, { signal: stop.signal })).toMatchObject({ outcome: 'deferred', retryAt: null, folds: 0 });
    expect(await sweepMark(bench)).toBeNull();
    bench.decider.adjudicate_ = () => 'same';
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', folds: 1 });
  });

  it('passes what was settled before the budget was spent, so that each sweep gets on', async () => {
    await twins(warm, fresh, good);
    // One turn at a time: what is asked later is refused.
    const beside = await bench.engineBeside({ concurrency: 0 });
    const order: string[] = [];
    bench.decider.adjudicate_ = (held, offered) => {
      order.push(`${held}/${offered}`);
      if (order.length > 2) throw new BudgetSpentError('the budget is spent', new Date('2026-03-02T00:00:00Z'));
      return 'different';
    };
    expect(await sweep(bench, {}, beside)).toMatchObject({ outcome: 'deferred', rows: 1, pairs: 3 });
    expect(order).toEqual([`${warm}/${fresh}`, `${warm}/${good}`, `${fresh}/${good}`]);
    bench.decider.pairs = [];
    bench.decider.adjudicate_ = () => 'different';
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', rows: 2 });
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', rows: 0, pairs: 0 });
  });

  it('stands behind what a limit left, and each sweep gets on', async () => {
    // One transaction writes them all, as a change of models does.
    await twins(...Array.from({ length: 40 }, (_, n) => `${warm} ${'so '.repeat(n % 4)}${'it is '.repeat(n)}`));
    bench.decider.adjudicate_ = () => 'different';
    await bench.rows('update engram.observations set embedding = embedding where bank_id = $1', [bench.bankId]);
    let sweeps = 0;
    let outcome = '';
    for (let before: string | null = ''; outcome !== 'done' && sweeps < 10; sweeps += 1) {
      ({ outcome } = await sweep(bench, { limit: 1 }));
      const mark = await sweepMark(bench);
      expect(mark).not.toBe(before);
      before = mark;
    }
    expect(outcome).toBe('done');
    expect(sweeps).toBeGreaterThan(1);
  });

  it('does not pass what commits late', async () => {
    await twins(warm, fresh);
    bench.decider.adjudicate_ = () => 'different';
    await sweep(bench);
    const { id: late } = await observation(bench, fresh);
    const touched = Promise.withResolvers<void>();
    const commit = Promise.withResolvers<void>();
    const writing = bench.database.db.tx({ label: 'late' }, async (tx) => {
      await tx.query('update engram.observations set updated_at = now() where id = $1', [late]);
      touched.resolve();
      await commit.promise;
    });
    await touched.promise;
    // A later transaction ends first.
    await bench.rows('update engram.observations set updated_at = now() where bank_id = $1 and text = $2', [
      bench.bankId,
      warm,
    ]);
    expect(await sweepNow(bench)).toMatchObject({ outcome: 'done', pairs: 0 });
    commit.resolve();
    await writing;
    expect(await sweep(bench)).toMatchObject({ outcome: 'done', pairs: 1 });
  });
});

describe('a sweep over everything', () => {
  /** So many that lists of all neighbours cost less than asking the index about each; every second is a twin. */
  async function fill(): Promise<string[]> {
    const rows = Array.from({ length: 520 }, (_, n) => ({ id: uuid(), text: `${warm} ${'a'.repeat(1 + (n >> 1))}` }));
    await bench.rows(
      `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
       select $1, r.id, r.text, '{}', $3::real[], $4, 1 from jsonb_to_recordset($2::jsonb) as r(id uuid, text text)`,
      [bench.bankId, JSON.stringify(rows), encodeRealArray(wordVector(warm)), bench.embedder.model.id],
    );
    return rows.map((row) => row.id);
  }

  it('takes neighbours from the lists, which are made in one pass, and only what came after them from the index', async () => {
    const ids = await fill();
    await settled(bench.database.db);
    const [{ seen = '' } = {}] = await bench.rows<{ seen: string }>(
      'select pg_snapshot_xmin(pg_current_snapshot())::text as seen',
    );
    // Past all that the list has seen, whatever other databases of the server do meanwhile.
    const [first = '', second = '', third = ''] = ids;
    await bench.rows('update engram.observations set updated_at = now() where id = $1', [third]);
    const lists: ReadonlyNeighbours = {
      rows: ids.length,
      ids: () => ids,
      nearest: (id) => (id === second ? [{ id: first, similarity: 1 }] : []),
      isComplete: true,
      seenXid: seen,
    };
    const asked: string[] = [];
    let searched = 0;
    const beside = await bench.engineBeside({
      vectors: {
        ...bench.vectors,
        nearest: (queries) => {
          searched += queries.length;
          return bench.vectors.nearest(queries);
        },
      },
    });
    const neighbours = {
      of: async (bankId: string, modelId: string) => {
        asked.push(`${bankId} ${modelId}`);
        return lists;
      },
    };
    const [after] = await bench.rows<{ n: number }>(
      'select count(*) as n from engram.observations where bank_id = $1 and change_xid >= $2::xid8',
      [bench.bankId, seen],
    );
    bench.decider.adjudicate_ = () => 'different';
    expect(await sweep(bench, { neighbours }, beside)).toMatchObject({ outcome: 'done', missed: 0 });
    expect(asked).toEqual([`${bench.bankId} ${bench.embedder.model.id}`]);
    expect(searched).toBe(after?.n);
    expect(searched).toBeLessThan(ids.length);
    expect((await observations(bench)).find((row) => row.id === second)?.canonicalId).toBe(first);
    expect(await sweep(bench, {}, beside), 'what is left to look at is little').toMatchObject({ pairs: 0 });
  });

  it('does without lists that cannot be built in time: the index knows the same', async () => {
    await fill();
    bench.decider.adjudicate_ = () => 'different';
    const broken = { of: () => Promise.reject(new Error('no such file')) };
    await expect(sweep(bench, { neighbours: broken, limit: 1 })).rejects.toThrow('no such file');
    const late = { of: () => Promise.reject(new BuildTooLongError('lists', 1_200_000)) };
    expect(await sweep(bench, { neighbours: late, limit: 1 })).toMatchObject({ rows: 16 });
    expect(bench.logged.join()).toContain('goes on without lists');
  });

  it('is over at once where the bank is deleted before its lists are built', async () => {
    await fill();
    const gone = {
      of: async (bankId: string) => {
        await bench.rows('delete from engram.banks where id = $1', [bankId]);
        throw new BuildBankGoneError('lists');
      },
    };
    expect(await sweep(bench, { neighbours: gone })).toMatchObject({ outcome: 'done', rows: 0, pairs: 0 });
  });
});
