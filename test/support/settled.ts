import type { Queryable } from '../../src/db/database.ts';

/** 20 s and more; other tests' transactions on the same server are waited for too. */
const mostLooks = 10_000;

/** Resolves when no transaction is under way any more that had begun to write by now. */
export async function settled(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
  for (let looks = 0; looks < mostLooks; looks += 1) {
    const past = await db.query<{ is: boolean }>(
      'select pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 as is from pg_sleep(0.002)',
      [rows[0]?.xid],
    );
    if (past.rows[0]?.is) return;
  }
  throw new Error('a transaction does not come to its end');
}
