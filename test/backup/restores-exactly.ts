import { setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { contentsIn, contentsOf, onSession, restore, takeBackup, verify } from './backup-bench.ts';
import { seedStore } from './seeded-store.ts';

const writers = 4;
const memories = 100_000;

/**
 * A backup of 100,000 memories that is taken while four writers run restores to exactly its snapshot: what comes back is
 * what the manifest says, row for row, and of each writer all that it had written by one instant and nothing later.
 *
 * @param target an empty database of a server that need not be the same one
 */
export async function restoresExactly(options: {
  readonly source: string;
  readonly target: string;
  readonly folder: string;
}): Promise<void> {
  const { source, target, folder } = options;
  const db = createDatabase({
    connectionString: source,
    poolMax: writers,
    applicationName: 'engramd-test',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  try {
    await seedStore(db, { banks: 1, memories });
    const stop = new AbortController();
    const written = Array.from({ length: writers }, () => 0);
    const writing = written.map((_, writer) =>
      writeUntil(db, writer, stop.signal, (count) => {
        written[writer] = count;
      }),
    );
    await expect.poll(() => Math.min(...written), { timeout: 30_000 }).toBeGreaterThan(3);
    const before = [...written];
    const backup = await takeBackup(source, folder);
    const after = [...written];
    stop.abort();
    await Promise.all(writing);
    // They did run meanwhile.
    expect(after.every((count, writer) => count > (before[writer] ?? 0))).toBe(true);

    await verify(backup, { connectionString: source });
    await restore(backup, { connectionString: target });
    const restored = await contentsOf(target);
    const told = contentsIn(backup.manifest);
    for (const settled of ['instances', 'attempts', 'sleep_cycles']) {
      expect(restored[settled]?.rows).toBe(told[settled]?.rows);
      delete restored[settled];
      delete told[settled];
    }
    expect(restored).toEqual(told);
    expect(restored.memories?.rows).toBeGreaterThan(memories + writers * 3);

    const rows = await onSession(target, async (session) => {
      const found = await session.query<{ writer: number; count: number; last: number; events: number }>(
        `select (metadata ->> 'writer')::int as writer, count(*)::int as count, max((metadata ->> 'at')::int) as last,
           (select count(*)::int from engram.events e where e.bank_id = 'bank-1' and e.memory_id = any(array_agg(m.id)))
             as events
         from engram.memories m where bank_id = 'bank-1' and metadata ? 'writer' group by 1 order by 1`,
      );
      return found.rows;
    });
    expect(rows).toHaveLength(writers);
    for (const { writer, count, last, events } of rows) {
      // Each memory with the event of its transaction, none left out, and nothing of after the snapshot.
      expect({ writer, last, events }).toEqual({ writer, last: count, events: count });
      expect(count).toBeGreaterThanOrEqual(before[writer] ?? 0);
      expect(count).toBeLessThanOrEqual((after[writer] ?? 0) + 1);
    }
  } finally {
    await db.close();
  }
}

async function writeUntil(
  db: Database,
  writer: number,
  signal: AbortSignal,
  wrote: (count: number) => void,
): Promise<void> {
  for (let at = 1; !signal.aborted; at += 1) {
    await db.query(
      `insert into engram.memories (bank_id, id, text, metadata)
       values ('bank-1', gen_random_uuid(), $1, jsonb_build_object('writer', $2::int, 'at', $3::int))`,
      [`writer ${writer} notes ${at}`, writer, at],
    );
    wrote(at);
    // So that the backup is not kept from its end by what is written for it.
    await setTimeout(2);
  }
}
