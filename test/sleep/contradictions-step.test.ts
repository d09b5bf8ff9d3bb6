import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ContradictionsReport } from '../../src/consolidation/engine.ts';
import { createContradictionsStep } from '../../src/sleep/steps/contradictions-step.ts';
import { beforeAllRows, moveChangeMark, readChangeMark } from '../../src/store/changed-observations.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { observe } from '../consolidation/decide.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { stepContext } from './step-context.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.rows('delete from engram.banks');
  await bench.rows("insert into engram.banks (id) values ('a'), ('b'), ('c'), ('still')");
  const { model } = bench.embedder;
  await bench.rows(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
     select b, gen_random_uuid(), 'something of ' || b, '{}', array_fill(0::real, array[$1::int]), $2, 0
     from unnest(array['a', 'b', 'c']) as b`,
    [model.dimensions, model.id],
  );
  // Nothing there can contradict anything: what changed is retired, or about to be written again.
  await bench.rows(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, retired_at, needs_replan_at)
     select 'still', gen_random_uuid(), 'it was so', '{}', array_fill(0::real, array[$1::int]), $2, 0, retired, replan
     from (values (now(), null), (null, now())) as v (retired, replan)`,
    [model.dimensions, model.id],
  );
  await settled();
});

/** Until no transaction of the server (of another test's database, too) is older than the last change. */
async function settled(): Promise<void> {
  for (;;) {
    const [row] = await bench.rows<{ ended: boolean }>(
      `select coalesce(max(change_xid::text::bigint), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint as ended
       from engram.observations`,
    );
    if (row?.ended) return;
  }
}

const worked: ContradictionsReport = { outcome: 'done', retryAt: null, pairs: 5, conflicts: 1 };
const more: ContradictionsReport = { ...worked, outcome: 'deferred' };

/** The step over an engine that answers as it is told, and marks what it was at the end of. */
function stepWith(answer: (bankId: string, turn: number) => ContradictionsReport) {
  const turns: string[] = [];
  const { db } = bench.database;
  const step = createContradictionsStep({
    db,
    log: silentLog,
    engine: {
      async findContradictions({ bankId }) {
        turns.push(bankId);
        const report = answer(bankId, turns.filter((turn) => turn === bankId).length);
        const mark = await readChangeMark(db, 'contradiction_marks', bankId);
        if (report.outcome === 'done' && mark) {
          await moveChangeMark(db, 'contradiction_marks', bankId, { xid: mark.horizon, id: beforeAllRows });
        }
        return report;
      },
    },
  });
  return { step, turns };
}

test('banks take turns, and one in which nothing changed has none', async () => {
  const { step, turns } = stepWith((bank, turn) => (bank === 'a' && turn < 3 ? more : worked));
  const context = stepContext();
  expect(await step.run(context)).toEqual({ kind: 'done', note: '25 pairs compared, 5 conflicts found' });
  expect(turns).toEqual(['a', 'b', 'c', 'a', 'a']);
  expect(context.told.at(-1)).toEqual({ done: 25, total: null });
});

test('an interrupted night goes on at its bank, and what has been compared is not compared again', async () => {
  const stop = new AbortController();
  const first = stepWith((bank) => {
    if (bank !== 'b') return worked;
    stop.abort();
    return { ...more, pairs: 2, conflicts: 0 };
  });
  const context = stepContext({ signal: stop.signal });
  expect(await first.step.run(context)).toEqual({ kind: 'deferred' });
  expect(first.turns).toEqual(['a', 'b']);
  const second = stepWith(() => worked);
  const end = await second.step.run(stepContext({ checkpoint: context.saved.at(-1) ?? null }));
  expect(second.turns).toEqual(['b', 'c']);
  expect(end).toEqual({ kind: 'done', note: '17 pairs compared, 3 conflicts found' });
});

test('a provider that is out of order ends the step, which is no failure, and says until when', async () => {
  const { step, turns } = stepWith((bank) =>
    bank === 'b' ? { ...more, pairs: 0, conflicts: 0, retryAt: new Date('2026-03-05T00:00:00Z') } : worked,
  );
  expect(await step.run(stepContext())).toEqual({
    kind: 'done',
    note: '5 pairs compared, 1 conflicts found; the rest waits: the model can be asked at 2026-03-05T00:00:00.000Z',
  });
  expect(turns).toEqual(['a', 'b']);
  // The marks know where another night begins.
  const next = stepWith(() => worked);
  await next.step.run(stepContext());
  expect(next.turns).toEqual(['b', 'c']);
});

test('a bank that fails keeps nobody waiting; the step fails when the others had their turn', async () => {
  const { step, turns } = stepWith((bank) => {
    if (bank === 'a') throw new Error('a is broken');
    return worked;
  });
  await expect(step.run(stepContext())).rejects.toThrow('a is broken');
  expect(turns).toEqual(['a', 'b', 'c']);
});

test('a night finds what cannot both hold, and the night after has nothing to ask', async () => {
  const nine = 'the shop in the long street opens at nine on every day of the week but one';
  const ten = 'the shop in the long street opens at ten on every day of the week but one';
  await bench.rows('delete from engram.banks');
  await bench.freshBank();
  await observe(bench, nine, ten);
  bench.decider.adjudicate_ = () => 'contradicts';
  await settled();
  const step = createContradictionsStep({ db: bench.database.db, engine: bench.engine, log: silentLog });
  expect(await step.run(stepContext())).toEqual({ kind: 'done', note: '1 pairs compared, 1 conflicts found' });
  bench.decider.pairs = [];
  await settled();
  const again = stepContext();
  expect(await step.run(again)).toEqual({ kind: 'done' });
  expect(bench.decider.pairs).toEqual([]);
  // Not even looked at.
  expect(again.saved).toEqual([]);
});
