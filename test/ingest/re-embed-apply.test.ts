import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { assertNoLease } from '../../src/db/lease.ts';
import { createPinnedEmbedder } from '../../src/models/embeddings/pinned-embedder.ts';
import { beginSwitch, flipModel } from '../../src/store/embedding-switch.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';

/** An apply beside the change of the embedding model: no observation is stored with a vector of the model that was left. */

let bench: Workbench;
const next = createFakeEmbedder({ model: { id: 'openai/next', dimensions: 64, provider: 'openai' } });
beforeAll(async () => {
  bench = await createWorkbench();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.freshBank();
  const { db } = bench.database;
  await db.query('update engram.embedding_models set is_active = false, switch_started_at = null');
  await db.query("update engram.embedding_models set is_active = true where id = 'local/fake-512'");
});

function engine() {
  const { db } = bench.database;
  const open = ({ id }: { readonly id: string }) => (id === next.model.id ? next : bench.embedder);
  const deps = { db, clock: systemClock, log: silentLog, assertNoLease, open, prepare: async () => undefined };
  return bench.engineBeside({ embedder: createPinnedEmbedder(deps, bench.embedder, true) });
}

const vectors = () =>
  bench.rows<{ model: string; length: number }>(
    'select embedding_model as model, cardinality(embedding) as length from engram.observations where bank_id = $1',
    [bench.bankId],
  );

async function flip(): Promise<void> {
  const { db } = bench.database;
  await beginSwitch(db, next.model);
  await db.tx({ label: 'flip' }, (tx) => flipModel(tx, next.model.id));
}

test('what was decided with the old model is refused, and decided again with the new one', async () => {
  await bench.remember({ text: 'the kiln is in the shed', unembedded: true });
  const hold = bench.races.hold('apply:before-begin');
  const own = await engine();
  const running = bench.consolidate({ engine: own });
  await hold.reached;
  await flip();
  hold.release();
  const report = await running;
  expect(report.outcome).toBe('deferred');
  expect(report.retryAt?.getTime()).toBeLessThan(Date.now() + 1000);
  expect(await vectors()).toEqual([]);
  const [memory] = await bench.rows('select state, attempts from engram.memories where bank_id = $1', [bench.bankId]);
  expect(memory).toEqual({ state: 'pending', attempts: 0 });

  await bench.consolidate({ engine: own });
  expect(await vectors()).toEqual([{ model: 'openai/next', length: 64 }]);
});

test('a change that waits for an apply under way comes after it; applies that come meanwhile do not wait', async () => {
  await bench.remember({ text: 'the kiln is in the shed', unembedded: true });
  const { db } = bench.database;
  await beginSwitch(db, next.model);
  const own = await engine();
  const changing = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const hold = bench.races.hold('apply:before-begin');
  const running = bench.consolidate({ engine: own });
  await hold.reached;
  const change = db.tx({ label: 'flip' }, async (tx) => {
    await flipModel(tx, next.model.id);
    changing.resolve();
    await finish.promise;
  });
  await changing.promise;
  hold.release();
  // Refused at once, although the change has not committed.
  expect(await running).toMatchObject({ outcome: 'deferred' });
  finish.resolve();
  await change;
  expect(await vectors()).toEqual([]);
});
