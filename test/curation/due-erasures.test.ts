import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { carryOutDueErasures, type DueErasuresDeps } from '../../src/curation/due-erasures.ts';
import { addErasuresDue, dropErasureDue } from '../../src/store/erasures-due.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { placesOf } from './curation-bench.ts';

let bench: Workbench;
const instanceId = uuid();
beforeAll(async () => {
  bench = await createWorkbench();
  const row = { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' } as const;
  await insertInstance(bench.database.db, row);
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const secret = 'Ana keeps a zanzibar parrot';
const erasedAt = new Date('2026-03-01T02:03:04Z');

const deps = (): DueErasuresDeps => ({
  db: bench.database.db,
  instanceId,
  clock: systemClock,
  log: silentLog,
  racepoints: bench.races,
  newId: () => uuid(),
});

const due = (...memoryIds: readonly string[]) =>
  addErasuresDue(
    bench.database.db,
    memoryIds.map((memoryId) => ({ bankId: bench.bankId, memoryId, erasedAt })),
  );
const whatIsDue = () => bench.rows<{ memory_id: string }>('select memory_id from engram.erasures_due');

test('what is due to be erased again goes with all that was made of it, and what is beside it stays', async () => {
  const [parrot, tea] = await bench.remember(secret, 'Ben drinks tea');
  await bench.consolidate();
  await due(parrot as string);
  expect(await carryOutDueErasures(deps())).toBe(1);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  expect(await bench.rows('select id from engram.memories where bank_id = $1', [bench.bankId])).toEqual([{ id: tea }]);
  expect(await whatIsDue()).toEqual([]);
  expect(await carryOutDueErasures(deps())).toBe(0);
});

test('what did not come back is no failure, and is known as forgotten from then on', async () => {
  const absent = uuid();
  await due(absent);
  await addErasuresDue(bench.database.db, [{ bankId: 'no such bank', memoryId: absent, erasedAt }]);
  expect(await carryOutDueErasures(deps())).toBe(0);
  expect(await whatIsDue()).toEqual([]);
  expect(
    await bench.rows('select bank_id, erased_at from engram.erasures where memory_id = $1 order by bank_id', [absent]),
  ).toEqual([
    { bank_id: bench.bankId, erased_at: erasedAt },
    { bank_id: 'no such bank', erased_at: erasedAt },
  ]);
});

test('who dies in the middle is followed by one who goes on', async () => {
  const ids = await bench.remember(secret, 'Ana sold the zanzibar parrot', 'zanzibar is an island');
  await bench.consolidate();
  await due(...ids);
  let visits = 0;
  bench.races.at('forget:before-commit', () => {
    visits += 1;
    if (visits === 2) throw new Error('dead');
  });
  await expect(carryOutDueErasures(deps())).rejects.toThrow('dead');
  expect(await whatIsDue()).toHaveLength(2);
  expect(await carryOutDueErasures(deps())).toBe(2);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
});

test('a memory that is brought while its erasure is carried out is erased too', async () => {
  const id = uuid();
  await due(id);
  const { db } = bench.database;
  const [brought, looked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  // The import has begun: the row is there already, and so it is locked.
  const importing = db.tx({ label: 'import' }, async (tx) => {
    await addErasuresDue(tx, [{ bankId: bench.bankId, memoryId: id, erasedAt }]);
    await tx.query('insert into engram.memories (bank_id, id, text) values ($1, $2, $3)', [bench.bankId, id, secret]);
    brought.resolve();
    await looked.promise;
  });
  await brought.promise;
  const erasing = carryOutDueErasures(deps());
  await expect
    .poll(() => bench.rows(`select from pg_locks where not granted and locktype in ('transactionid', 'tuple')`))
    .not.toEqual([]);
  looked.resolve();
  await importing;
  expect(await erasing).toBe(1);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
});

test('it is not taken off the list while the memory is there', async () => {
  const [id] = await bench.remember(secret);
  await due(id as string);
  const drop = () => bench.database.db.tx({ label: 'test' }, (tx) => dropErasureDue(tx, bench.bankId, id as string));
  expect(await drop()).toBe(false);
  expect(await whatIsDue()).toHaveLength(1);
  await bench.rows('delete from engram.memories where id = $1', [id]);
  expect(await drop()).toBe(true);
});
