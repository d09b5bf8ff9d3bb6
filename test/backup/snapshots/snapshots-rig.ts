import { v7 as uuid } from 'uuid';
import type { SnapshotChoreDeps } from '../../../src/backup/snapshots/snapshot-chore.ts';
import { createBank } from '../../../src/store/banks.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createRaceControl } from '../../support/race-control.ts';
import { createTestDatabase } from '../../support/test-database.ts';

/** A database, what snapshots are taken with, and banks that are written to by hand. */
export async function createSnapshotsRig(keep = 3) {
  const test = await createTestDatabase({ poolMax: 12 });
  const { db, metrics } = test;
  const races = createRaceControl();
  const deps: SnapshotChoreDeps = { db, metrics, racepoints: races, newId: () => uuid(), keep, log: silentLog };
  let banks = 0;
  return {
    ...test,
    races,
    deps,
    async bank(): Promise<string> {
      banks += 1;
      const bankId = `bank-${banks}`;
      await createBank(db, bankId);
      return bankId;
    },
    async remember(bankId: string, ...texts: readonly string[]): Promise<string[]> {
      const ids = texts.map(() => uuid());
      await db.query(
        `insert into engram.memories (bank_id, id, text) select $1, * from unnest($2::uuid[], $3::text[])`,
        [bankId, ids, texts],
      );
      return ids;
    },
    /** Ops as an apply leaves them, but for what they did. */
    async apply(bankId: string, count: number): Promise<void> {
      const [runId, setId, instanceId] = [uuid(), uuid(), uuid()];
      await db.query(`insert into engram.instances (id, role, host, pid, version) values ($1, 'cli', 'test', 1, '0')`, [
        instanceId,
      ]);
      await db.query(`insert into engram.runs (bank_id, id, trigger, instance_id) values ($1, $2, 'test', $3)`, [
        bankId,
        runId,
        instanceId,
      ]);
      await db.query(
        `insert into engram.change_sets (bank_id, id, run_id, decider, status) values ($1, $2, $3, 'test', 'applied')`,
        [bankId, setId, runId],
      );
      await db.query(
        `insert into engram.change_ops (bank_id, change_set_id, seq, op, status)
         select $1, $2, n, 'skip', 'applied' from generate_series(1, $3) as n`,
        [bankId, setId, count],
      );
      // As an apply does, and nothing else here.
      await db.query(`insert into engram.events (bank_id, kind) values ($1, 'memory.skipped')`, [bankId]);
    },
    rows: async <Row>(sql: string, values: readonly unknown[] = []) => (await db.query<Row>(sql, values)).rows,
    /** Puts everything about a bank's age so many hours back. */
    async age(bankId: string, hours: number): Promise<void> {
      const back = `interval '1 hour' * $2::float8`;
      await db.query(`update engram.banks set created_at = created_at - ${back} where id = $1`, [bankId, hours]);
      await db.query(`update engram.snapshots set made_at = made_at - ${back} where bank_id = $1`, [bankId, hours]);
    },
    close: () => test.drop(),
  };
}

export type SnapshotsRig = Awaited<ReturnType<typeof createSnapshotsRig>>;
