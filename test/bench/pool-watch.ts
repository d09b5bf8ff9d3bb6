import { createDatabase, type Database } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

export interface Watched {
  /** Most connections seen at once, by application name. */
  readonly connections: ReadonlyMap<string, number>;
  readonly samples: number;
}

/** A connection beside those of the worker, which looks at them from the server's side. */
export interface Watcher {
  readonly db: Database;
  /** Samples `pg_stat_activity` until `isDone` says so. Returns what was seen and when it was done. */
  until(isDone: (db: Database) => Promise<boolean>): Promise<Watched & { readonly doneMs: number }>;
  close(): Promise<void>;
}

const everyMs = 50;

export function createWatcher(connectionString: string): Watcher {
  const db = createDatabase({
    connectionString,
    poolMax: 1,
    applicationName: 'bench-watcher',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  return {
    db,
    async until(isDone) {
      const most = new Map<string, number>();
      for (let samples = 0; ; samples += 1) {
        const { rows } = await db.query<{ name: string; connections: number }>(
          `select application_name as name, count(*)::int as connections from pg_stat_activity
           where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() group by 1`,
        );
        for (const { name, connections } of rows) most.set(name, Math.max(most.get(name) ?? 0, connections));
        if (await isDone(db)) return { connections: most, samples, doneMs: performance.now() };
        await systemClock.sleep(everyMs);
      }
    },
    close: () => db.close(),
  };
}
