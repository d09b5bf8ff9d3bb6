import type { Workbench } from './workbench.ts';

/** Far more than it takes on a busy machine, and an end for a test whose guard is broken. */
const mostLooks = 5_000;

/** Resolves when a backend of the test database waits for a lock. */
export async function somebodyWaitsForALock(bench: Pick<Workbench, 'rows'>): Promise<void> {
  for (let looks = 0; looks < mostLooks; looks += 1) {
    const [row] = await bench.rows<{ waiting: boolean }>(
      `select exists (select from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock') as waiting`,
    );
    if (row?.waiting) return;
  }
  throw new Error('nobody waits for a lock');
}
