import { hostname } from 'node:os';
import { v7 as uuidV7 } from 'uuid';
import type { Config } from '../config/schema.ts';
import { migrateDatabase, openBesideDaemon, openDatabase } from '../daemon/open-database.ts';
import { createReleasers } from '../daemon/releasers.ts';
import { pinStore } from '../daemon/share-store.ts';
import { version } from '../daemon/version.ts';
import type { Database } from '../db/database.ts';
import { RestoreUnderWayError } from '../db/errors.ts';
import { isStoreHeld } from '../db/store-lock.ts';
import { finishInstance, insertInstance } from '../store/instances.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { type CommandContext, commandLog, type GlobalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { findDaemon } from './http-transport.ts';

/** The database itself, beside a daemon where one runs, for work that needs a connection of its own. */
export interface DirectStore {
  readonly config: Config;
  readonly db: Database;
  /** Of the server itself, past a pooler. */
  readonly connectionString: string;
  /** Row of this command in `engram.instances`. */
  readonly instanceId: string;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Opens the database, runs `work`, and closes it whatever happens. Without a daemon the embedded server is started under
 * the lock for the length of the command.
 */
export async function withDirectStore<T>(
  context: CommandContext,
  globals: GlobalOptions,
  work: (store: DirectStore, signal: AbortSignal) => Promise<T>,
  flags: Parameters<typeof loadSettings>[2] = {},
): Promise<T> {
  const loaded = loadSettings(context, globals, flags);
  noteWarnings(context, loaded);
  const { config } = loaded;
  const { clock } = context;
  const log = commandLog(loaded);
  return context.interruptible(async (signal) => {
    const releasers = createReleasers({ log, clock });
    const metrics = createMetrics();
    try {
      const daemon = await findDaemon({ config, signal });
      await daemon?.close();
      const deps = { config, log, clock, metrics, releasers };
      const opened = daemon ? openBesideDaemon(deps) : await openDatabase({ ...deps, role: 'cli', signal });
      const { db } = opened;
      if (await isStoreHeld(db)) throw new RestoreUnderWayError();
      if (!daemon) await migrateDatabase(db);
      await pinStore(db, () => undefined);
      const instanceId = uuidV7();
      await insertInstance(db, { id: instanceId, role: 'cli', host: hostname(), pid: process.pid, version });
      try {
        const connectionString = config.databaseDirectUrl ?? opened.connectionString;
        return await work({ config, db, connectionString, instanceId, log, metrics }, signal);
      } finally {
        await finishInstance(db, instanceId, 'command done').catch(() => undefined);
      }
    } finally {
      await releasers.releaseAll();
    }
  });
}
