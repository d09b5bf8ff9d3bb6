import type { Queryable } from '../db/database.ts';
import { openDirectSession } from '../db/direct-session.ts';
import { explainDatabaseError } from '../db/errors.ts';
import { isSameDatabase, readStoreIdentity, type StoreIdentity } from '../store/store-origin.ts';
import { BackupElsewhereError } from './backup-errors.ts';

/**
 * What is read and replaced past the pool has to be what the pool works on: a backup would else be of another database,
 * and a restore end up in it.
 *
 * @throws BackupElsewhereError, errors of the server
 */
export async function assertOneDatabase(db: Queryable, directUrl: string): Promise<void> {
  const session = await openDirectSession({
    connectionString: directUrl,
    applicationName: 'engramd check',
  }).catch((thrown) => {
    throw explainDatabaseError(thrown);
  });
  try {
    assertSame(await readStoreIdentity(db), await readStoreIdentity(session));
  } finally {
    await session.close().catch(() => undefined);
  }
}

/** @throws BackupElsewhereError */
export function assertSame(pooled: StoreIdentity, direct: StoreIdentity): void {
  if (isSameDatabase(pooled, direct)) return;
  throw new BackupElsewhereError(
    'DATABASE_DIRECT_URL leads to another database than DATABASE_URL: let both name the same one, the direct one past any pooler',
  );
}
