import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { forget } from '../../src/curation/forget.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { createRecall, type RecallItem } from '../../src/recall/recall.ts';
import { createRecallAsOf } from '../../src/recall/recall-as-of.ts';
import { loadCandidatesAsOf, loadObservationsAsOf } from '../../src/store/as-of-rows.ts';
import { lineageOf, pointersAt } from '../../src/store/lineage.ts';
import { loadCandidates, loadObservations, type RecalledObservation } from '../../src/store/recall-rows.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { memories } from '../consolidation/store-view.ts';
import { anything, dice, disturb, rememberAnything } from '../curation/random-runs.ts';
import { createUndoBench, type UndoBench } from '../curation/undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench({ batchMemories: 3, concurrency: 3 });
});
afterAll(() => undo.bench.close());

const questions = ['kettle lamp river', 'violin harbour'];
const states = ['live', 'superseded', 'folded', 'retired'] as const;
const everything = {
  limit: 50,
  includeSuperseded: true,
  includeFolded: true,
  includeRetired: true,
  sourcesPerItem: 50,
};

/** The bank as it answered at an instant. */
interface Recorded {
  readonly at: Date;
  readonly shown: readonly string[];
  readonly observations: readonly RecalledObservation[];
  readonly answers: readonly (readonly RecallItem[])[];
  /** A memory was edited, invalidated by hand or deleted after it: what rests on it cannot be told exactly. */
  editedSince: boolean;
}

const scope = () => ({
  bankId: undo.bench.bankId,
  targets: ['memories', 'observations'] as const,
  tags: [],
  observationStates: states,
});

/** An instant of whole milliseconds between what has been done and what will be. */
async function instant(): Promise<Date> {
  const now = async () => (await undo.bench.rows<{ at: string }>('select clock_timestamp()::text as at'))[0]?.at ?? '';
  const at = new Date(new Date(await now()).getTime() + 1);
  while (new Date(await now()) <= at);
  return at;
}

async function ids(): Promise<{ memories: string[]; observations: string[] }> {
  const rows = await undo.bench.rows<{ id: string }>('select id from engram.observations where bank_id = $1', [
    undo.bench.bankId,
  ]);
  return { memories: (await memories(undo.bench)).map(({ id }) => id), observations: rows.map(({ id }) => id) };
}

const byId = <T extends { readonly id: string }>(rows: readonly T[]) =>
  [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
/** What an answer says; ranks alike are told apart by ids and not by this. */
const said = (items: readonly RecallItem[]) =>
  items.map((item) =>
    item.type === 'observation'
      ? ['o', item.observation.id, item.observation.text, item.observation.state]
      : ['m', item.memory.id, item.memory.text, item.supersededBy],
  );

function searches() {
  const deps = {
    db: undo.deps.db,
    vectors: undo.bench.vectors,
    embedder: guardedEmbedder(undo.bench.embedder, assertNoLease),
    clock: systemClock,
    metrics: undo.bench.database.metrics,
    log: silentLog,
  };
  return { recall: createRecall(deps).recall, recallAsOf: createRecallAsOf(deps) };
}

async function record(): Promise<Recorded> {
  const { db } = undo.deps;
  const all = await ids();
  const { rows } = await loadCandidates(db, scope(), all);
  const { recall } = searches();
  const answers: RecallItem[][] = [];
  for (const query of questions) {
    answers.push([...(await recall({ bankId: undo.bench.bankId, query, ...everything })).items]);
  }
  return {
    shown: rows.map(({ id }) => id).sort(),
    observations: byId(await loadObservations(db, undo.bench.bankId, all.observations, 50)),
    answers,
    at: await instant(),
    editedSince: false,
  };
}

const counted = { exact: 0, steps: new Map<string, number>() };

async function aRandomLife(seed: number): Promise<void> {
  const { bench } = undo;
  await bench.freshBank();
  const { bankId } = bench;
  const { db } = undo.deps;
  const roll = dice(seed);
  bench.decider.propose_ = (batch) => anything(batch, roll);
  bench.decider.adjudicate_ = () => (['same', 'different', 'supersedes', 'contradicts'] as const)[roll(4)] ?? 'same';
  const recorded: Recorded[] = [];
  const runs: string[] = [];
  /** Ids that had to do with what was forgotten, and how many records are older. */
  const erased = new Map<string, number>();
  const forgotten: { id: string; before: number }[] = [];
  for (let step = 0; step < 9; step += 1) {
    const kind =
      step < 2 ? 'run' : (['run', 'run', 'undo', 'undo', 'disturb', 'invalidate', 'forget'] as const)[roll(7)];
    counted.steps.set(kind ?? '', (counted.steps.get(kind ?? '') ?? 0) + 1);
    switch (kind) {
      case 'run': {
        await rememberAnything(bench, roll, 5);
        runs.push((await bench.consolidate()).runId);
        break;
      }
      case 'undo': {
        const id = runs.splice(roll(runs.length), 1)[0];
        try {
          if (id !== undefined) runs.push((await undo.undo(id)).runId);
        } catch (thrown) {
          if (!(thrown instanceof Error) || !/Refused|Nothing/.test(thrown.name)) throw thrown;
        }
        break;
      }
      case 'disturb':
        await disturb(bench, roll);
        for (const one of recorded) one.editedSince = true;
        break;
      case 'invalidate': {
        const id = (await memories(bench))[roll(6)]?.id;
        await bench.rows(
          `update engram.memories set invalidated_at = case when invalidated_at is null then now() end
           where bank_id = $1 and id = $2`,
          [bankId, id],
        );
        break;
      }
      case 'forget': {
        const [some] = (await memories(bench)).slice(roll(6));
        if (!some) break;
        const lineage = await lineageOf(db, bankId, some.id);
        for (const id of [...lineage, ...(await pointersAt(db, bankId, lineage))]) erased.set(id, recorded.length);
        forgotten.push({ id: some.id, before: recorded.length });
        const deps = { ...undo.deps, hint: async () => undefined };
        await forget(deps, { bankId, memoryId: some.id, signal: new AbortController().signal });
        break;
      }
      default:
        break;
    }
    recorded.push(await record());
  }

  const alive = new Set((await ids()).memories);
  const edited = new Map(
    (
      await bench.rows<{ id: string; edited_at: Date | null }>(
        'select id, edited_at from engram.memories where bank_id = $1',
        [bankId],
      )
    ).map((row) => [row.id, row.edited_at]),
  );
  const all = await ids();
  const { recallAsOf } = searches();
  for (const [index, then] of recorded.entries()) {
    const isErased = (id: string) => (erased.get(id) ?? -1) > index;
    const isKept = (memoryId: string) => {
      const at = edited.get(memoryId);
      return alive.has(memoryId) && !(at && at > then.at);
    };
    const { rows } = await loadCandidatesAsOf(db, scope(), { ...all, at: then.at });
    const expectShown = then.shown.filter(
      (id) => !isErased(id) && (edited.has(id) ? isKept(id) : all.observations.includes(id)),
    );
    expect(
      rows
        .map(({ id }) => id)
        .filter((id) => !isErased(id))
        .sort(),
    ).toEqual(expectShown);

    const stood = byId(
      await loadObservationsAsOf(db, bankId, { ids: all.observations, sourcesPerItem: 50, at: then.at }),
    );
    const expected = then.observations.filter(({ id }) => !isErased(id));
    const plain = ({ evidence, sources, conflicts, ...row }: RecalledObservation) => ({
      ...row,
      conflicts: conflicts
        .filter(({ otherId }) => !isErased(otherId))
        .map(({ id, otherId, otherText }) => ({ id, otherId, otherText })),
      sources: sources.filter(({ id }) => isKept(id)).map(({ id, text }) => ({ id, text })),
    });
    expect(stood.filter(({ id }) => !isErased(id)).map(plain)).toEqual(expected.map(plain));

    // What had to do with what was forgotten is told as it was, or not at all.
    const whole = new Set(then.observations.map(({ id, text, state }) => `${id} ${state} ${text}`));
    for (const { id, text, state } of stood) expect(whole).toContain(`${id} ${state} ${text}`);

    if (then.editedSince || forgotten.some(({ before }) => before > index)) continue;
    counted.exact += 1;
    for (const [n, query] of questions.entries()) {
      const answer = await recallAsOf({ bankId, query, ...everything, asOf: then.at });
      expect(said(answer?.items ?? [])).toEqual(said(then.answers[n] ?? []));
      expect(answer?.asOf).toEqual({ at: then.at, editedSince: 0 });
    }
  }
}

it('as of any instant a bank is exactly what it was, whatever was written, undone, edited, invalidated or forgotten since', async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), aRandomLife), {
    numRuns: 4,
    endOnFailure: true,
  });
  expect(counted.exact).toBeGreaterThan(0);
}, 120_000);
