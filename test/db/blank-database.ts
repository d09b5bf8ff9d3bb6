import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { type AdminConnection, withAdmin } from '../support/admin-connection.ts';

/** A database in which engramd has never been. */
export interface BlankDatabase {
  readonly name: string;
  /** A superuser's. */
  readonly connectionString: string;
  /** Another pool on it, closed by `drop`. */
  open(connectionString?: string): Database;
  /** As the superuser, in the database itself or in the one the server came with. */
  admin<T>(work: (admin: AdminConnection) => Promise<T>, where?: 'here' | 'server'): Promise<T>;
  drop(): Promise<void>;
}

/** `sorting` is what texts are sorted by; the embedded server would do it by byte, like any `collate "C"`. */
export async function createBlankDatabase(options: { sorting?: 'en' } = {}): Promise<BlankDatabase> {
  const { adminUrl } = inject('postgres');
  const name = `blank_${randomUUID().replaceAll('-', '')}`;
  const connectionString = await withAdmin(adminUrl, async (admin) => {
    const locale = options.sorting === undefined ? '' : `locale_provider icu icu_locale '${options.sorting}'`;
    await admin.query(`create database ${name} template template0 encoding 'UTF8' ${locale}`);
    return admin.urlOf(name);
  });
  const opened: Database[] = [];
  return {
    name,
    connectionString,
    open(url = connectionString) {
      const db = createDatabase({
        connectionString: url,
        poolMax: 2,
        applicationName: 'engramd-test-blank',
        log: silentLog,
        clock: systemClock,
        metrics: createMetrics(),
      });
      opened.push(db);
      return db;
    },
    admin: (work, where = 'here') => withAdmin(where === 'here' ? connectionString : adminUrl, work),
    async drop() {
      await Promise.all(opened.map((db) => db.close()));
      await withAdmin(adminUrl, (admin) => admin.query(`drop database ${name} with (force)`));
    },
  };
}
