import type { Queryable } from '../db/database.ts';
import { lockBank } from './apply-locks.ts';
import { insertEvents } from './apply-writes.ts';

export interface Bank {
  readonly id: string;
  readonly mission: string;
  readonly createdAt: Date;
}

interface Row {
  id: string;
  mission: string;
  created_at: Date;
}

const toBank = (row: Row): Bank => ({ id: row.id, mission: row.mission, createdAt: row.created_at });

/** Makes the bank unless it is there; true if this call made it. */
export async function createBank(tx: Queryable, bankId: string, mission = ''): Promise<boolean> {
  // Primary key. Waits for whoever is making or deleting a bank of this name.
  const { rowCount } = await tx.query('insert into engram.banks (id, mission) values ($1, $2) on conflict do nothing', [
    bankId,
    mission,
  ]);
  if (rowCount === 0) return false;
  await insertEvents(tx, bankId, [
    { kind: 'bank.created', memoryId: null, observationId: null, changeSetId: null, detail: {} },
  ]);
  return true;
}

/** Makes the bank if need be and keeps it from being deleted until the transaction ends. First of all locks (law L4). */
export async function ensureBank(tx: Queryable, bankId: string): Promise<void> {
  while (!(await lockBank(tx, bankId, 'shared'))) {
    // Between a failed insert and the lock another transaction may delete it; then it is made again.
    await createBank(tx, bankId);
  }
}

export async function findBank(db: Queryable, bankId: string): Promise<Bank | undefined> {
  // Primary key.
  const { rows } = await db.query<Row>('select id, mission, created_at from engram.banks where id = $1', [bankId]);
  return rows[0] && toBank(rows[0]);
}

/** By name, `after` excluded. */
export async function listBanks(db: Queryable, options: { after: string; limit: number }): Promise<Bank[]> {
  // Primary key gives the order.
  const { rows } = await db.query<Row>(
    'select id, mission, created_at from engram.banks where id > $1 order by id limit $2',
    [options.after, options.limit],
  );
  return rows.map(toBank);
}

/** Deletes the bank and all that is in it; its timeline stays, without a word. False where there is none. */
export async function deleteBank(tx: Queryable, bankId: string): Promise<boolean> {
  // Primary key; the rest goes by cascade, and the words of the timeline by trigger.
  const { rowCount } = await tx.query('delete from engram.banks where id = $1', [bankId]);
  if (rowCount === 0) return false;
  // A bank made again under this name is not to be answered from what was said about this one.
  await tx.query('delete from engram.idempotency_keys where scope = $1', [bankId]);
  await insertEvents(tx, bankId, [
    { kind: 'bank.deleted', memoryId: null, observationId: null, changeSetId: null, detail: {} },
  ]);
  return true;
}
