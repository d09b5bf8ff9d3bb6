import type { Queryable } from '../db/database.ts';
import { bankQueues, deadLetterQueue } from './queues.ts';

/**
 * Deletes every job of ours, whatever became of it: after a restore they are about rows that are there no more, and the
 * reconciler makes those that are due. Nothing where pg-boss has never been.
 *
 * @returns how many there were
 */
export async function emptyQueues(tx: Queryable): Promise<number> {
  const { rows } = await tx.query<{ present: boolean }>(`select to_regclass('pgboss.job') is not null as present`);
  if (!rows[0]?.present) return 0;
  // By the name of the queue, which the primary key begins with. Nobody is at work on one: a restore is alone.
  const { rowCount } = await tx.query('delete from pgboss.job where name = any($1::text[])', [
    [deadLetterQueue, ...bankQueues].map(({ name }) => name),
  ]);
  return rowCount;
}
