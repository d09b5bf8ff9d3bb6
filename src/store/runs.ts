import type { Queryable } from '../db/database.ts';

export async function insertRun(
  db: Queryable,
  run: { bankId: string; id: string; trigger: string; instanceId: string },
): Promise<boolean> {
  // From banks, so that a bank deleted meanwhile is an answer and not an error.
  const { rowCount } = await db.query(
    `insert into engram.runs (bank_id, id, trigger, instance_id)
     select b.id, $2, $3, $4 from engram.banks b where b.id = $1`,
    [run.bankId, run.id, run.trigger, run.instanceId],
  );
  return rowCount === 1;
}

/** Ends, as crashed, the runs of the bank whose process died. One that comes to its end after all says so itself. */
export async function closeCrashedRuns(db: Queryable, bankId: string, currentRunId: string): Promise<void> {
  // Index runs_started.
  await db.query(
    `update engram.runs set finished_at = now(), outcome = 'crashed'
     where bank_id = $1 and finished_at is null and id <> $2`,
    [bankId, currentRunId],
  );
}

export async function finishRun(
  db: Queryable,
  run: { bankId: string; id: string; outcome: string; counts: Readonly<Record<string, unknown>> },
): Promise<void> {
  // Primary key.
  await db.query(
    'update engram.runs set finished_at = now(), outcome = $3, counts = $4 where bank_id = $1 and id = $2',
    [run.bankId, run.id, run.outcome, JSON.stringify(run.counts)],
  );
}
