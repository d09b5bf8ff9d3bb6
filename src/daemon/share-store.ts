import { assertSame } from '../backup/one-database.ts';
import type { Database } from '../db/database.ts';
import { openDirectSession } from '../db/direct-session.ts';
import { explainDatabaseError, RestoreUnderWayError, type StoreReplacedError, sqlState } from '../db/errors.ts';
import { isStoreHeld, tryShareStore } from '../db/store-lock.ts';
import { readStoreEpoch } from '../store/store-epoch.ts';
import { readStoreIdentity } from '../store/store-origin.ts';
import type { Releasers } from './releasers.ts';
import { stopBoundsMs } from './stop-bounds.ts';

export interface ShareStoreOptions {
  readonly mode: 'daemon' | 'cli';
  readonly db: Database;
  /** Past a pooler, which keeps no session. */
  readonly connectionString: string;
  readonly releasers: Releasers;
}

export interface SharedStore {
  /**
   * To be called once the schema is there: a role without rights is told which by the migration.
   *
   * @throws BackupElsewhereError where pool and direct connection lead to two databases
   */
  assertOneDatabase(): Promise<void>;
  handOver(): Promise<void>;
}

/**
 * Before anything is asked of the store: no restore is under way, and for a daemon none comes until `handOver`, by when
 * the connection that listens shares the store. A command has no such connection; its transactions each look for
 * themselves.
 *
 * @throws RestoreUnderWayError, DatabaseUnreachableError, DatabaseRefusedError
 */
export async function shareStore(options: ShareStoreOptions): Promise<SharedStore> {
  const { mode, db, connectionString, releasers } = options;
  if (mode === 'cli') {
    if (await isStoreHeld(db).catch(explain)) throw new RestoreUnderWayError();
    return { assertOneDatabase: async () => undefined, handOver: async () => undefined };
  }
  const session = await openDirectSession({ connectionString, applicationName: 'engramd start' }).catch(explain);
  let closing: Promise<void> | undefined;
  const handOver = () => {
    closing ??= session.close();
    return closing;
  };
  releasers.add('share of the store', stopBoundsMs.listener, handOver);
  if (!(await tryShareStore(session))) throw new RestoreUnderWayError();
  return {
    handOver,
    async assertOneDatabase() {
      assertSame(await readStoreIdentity(db).catch(explain), await readStoreIdentity(session).catch(explain));
    },
  };
}

/**
 * Reads which store it is, and has every transaction from now on write to that one or not at all.
 *
 * @throws RestoreUnderWayError
 */
export async function pinStore(db: Database, onReplaced: (error: StoreReplacedError) => void): Promise<number> {
  try {
    // In a transaction for its limits: it would wait for a restore to end.
    const epoch = await db.tx({ label: 'which store', readOnly: true }, readStoreEpoch);
    db.pinStore(epoch, onReplaced);
    return epoch;
  } catch (thrown) {
    throw sqlState(thrown) === '55P03' ? new RestoreUnderWayError({ cause: thrown }) : thrown;
  }
}

function explain(thrown: unknown): never {
  throw explainDatabaseError(thrown);
}
