import type { Database } from '../../src/db/database.ts';
import type { SignificanceEngine } from '../../src/significance/significance.ts';

/** An engine that gives every memory a 1, in batches of twelve, and says so in the timeline. */
export interface FakeScorer extends SignificanceEngine {
  /** Banks, in the order of their batches. */
  readonly batches: readonly string[];
  /** What the next batches do first: wait, or throw. */
  acts(before: (bankId: string, signal: AbortSignal) => Promise<void>): void;
  /** When it can be asked again. */
  rests(until: Date | null): void;
}

export function createFakeScorer(db: Database, batchSize = 12): FakeScorer {
  const batches: string[] = [];
  let before: (bankId: string, signal: AbortSignal) => Promise<void> = async () => undefined;
  let readyAt: Date | null = null;
  return {
    batches,
    acts(does) {
      before = does;
    },
    rests(until) {
      readyAt = until;
    },
    readyAt: async () => readyAt,
    async scoreBatch(bankId, { signal }) {
      batches.push(bankId);
      const asked = await db.query<{ id: string; version: number }>(
        `select id, version from engram.memories where bank_id = $1 and scored_version is distinct from version
           and score_parked is null and score_next_at <= now() order by score_next_at, id limit $2`,
        [bankId, batchSize],
      );
      await before(bankId, signal);
      signal.throwIfAborted();
      const { rows: scored } = await db.query(
        `with scored as (
           update engram.memories m set scored_version = a.version, significance = 1
           from unnest($2::uuid[], $3::bigint[]) as a (id, version)
           where m.bank_id = $1 and m.id = a.id and m.version = a.version and m.scored_version is distinct from a.version
           returning m.id)
         insert into engram.events (bank_id, kind, memory_id) select $1, 'memory.scored', id from scored returning id`,
        [bankId, asked.rows.map(({ id }) => id), asked.rows.map(({ version }) => version)],
      );
      const { rows } = await db.query<{ n: number }>(
        `select count(*)::int as n from engram.memories
         where bank_id = $1 and scored_version is distinct from version and score_next_at <= now()`,
        [bankId],
      );
      return { scored: scored.length, remaining: rows[0]?.n ?? 0 };
    },
  };
}

/** How often memories were scored, by the timeline: `2: 1` means that one of them was scored twice. */
export async function timesScored(db: Database): Promise<Record<number, number>> {
  const { rows } = await db.query<{ times: number; memories: number }>(
    `select times, count(*)::int as memories from (
       select m.id, count(e.id)::int as times from engram.memories m
       left join engram.events e on e.bank_id = m.bank_id and e.memory_id = m.id and e.kind = 'memory.scored'
       group by m.id) as counted group by times`,
  );
  return Object.fromEntries(rows.map(({ times, memories }) => [times, memories]));
}
