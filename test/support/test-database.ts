import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { withAdmin } from './admin-connection.ts';

export interface TestDatabase {
  readonly connectionString: string;
  readonly db: Database;
  readonly metrics: Metrics;
  /** Closes `db` and drops the database. Fails if a connection of `db` is still checked out: somebody kept one. */
  drop(): Promise<void>;
}

/** A database of its own, cloned from the migrated template: tests never see each other's rows. */
export async function createTestDatabase(options: { poolMax?: number } = {}): Promise<TestDatabase> {
  const { adminUrl, template, kind } = inject('postgres');
  // Copies files instead of logging each page: half the time, but a checkpoint, which costs where fsync is on.
  const strategy = kind === 'embedded' ? 'file_copy' : 'wal_log';
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const connectionString = await withAdmin(adminUrl, async (admin) => {
    await admin.query(
      `create database ${admin.escapeIdentifier(name)} template ${admin.escapeIdentifier(template)} strategy ${strategy}`,
    );
    return admin.urlOf(name);
  });
  const metrics = createMetrics();
  const db = createDatabase({
    connectionString,
    poolMax: options.poolMax ?? 10,
    applicationName: 'engramd-test',
    log: silentLog,
    clock: systemClock,
    metrics,
  });
  return {
    connectionString,
    db,
    metrics,
    async drop() {
      const { used, waiting } = db.poolCounts();
      // pool.end() waits for a connection that is out, for ever if nobody gives it back: dropping by force frees it.
      const closing = db.close();
      await withAdmin(adminUrl, (admin) => admin.query(`drop database ${admin.escapeIdentifier(name)} with (force)`));
      if (used > 0 || waiting > 0) {
        throw new Error(`the test ended with ${used} connections checked out and ${waiting} callers waiting for one`);
      }
      await closing;
    },
  };
}
