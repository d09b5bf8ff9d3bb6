import type { Queryable } from '../db/database.ts';
import { abandonedAfter, type OpenedStep, type StepProgress } from './sleep-cycles.ts';

interface StoredCycle {
  readonly id: string;
  readonly trigger: string;
  readonly isForced: boolean;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly outcome: 'clean' | 'partial' | 'failed' | 'abandoned' | null;
  readonly steps: readonly StoredStep[];
}

interface StoredStep extends StepProgress, OpenedStep {
  readonly runs: number;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly error: string | null;
}

/** The open cycle, or else the one that began last. */
export async function latestCycle(db: Queryable): Promise<StoredCycle | null> {
  // A scan of the cycles, which are six a day at most.
  const { rows } = await db.query<Omit<StoredCycle, 'steps'>>(
    `select id, trigger, is_forced as "isForced", started_at as "startedAt", finished_at as "finishedAt", outcome
     from engram.sleep_cycles order by finished_at is null desc, started_at desc, id desc limit 1`,
  );
  const [cycle] = rows;
  if (!cycle) return null;
  // Primary key.
  const { rows: steps } = await db.query<StoredStep>(
    `select name, status, runs, started_at as "startedAt", finished_at as "finishedAt", done, total, note, error
     from engram.sleep_steps where cycle_id = $1 order by position`,
    [cycle.id],
  );
  return { ...cycle, steps };
}

export async function hasOpenCycle(db: Queryable): Promise<boolean> {
  // Index sleep_cycles_open.
  const { rowCount } = await db.query(
    `select from engram.sleep_cycles
     where finished_at is null and touched_at >= now() - interval '${abandonedAfter}'`,
  );
  return rowCount > 0;
}

interface StepFailures {
  readonly step: string;
  readonly failures: number;
  readonly until: Date | null;
  readonly error: string | null;
}

/** Steps that failed when they were last run, a run under way left out; `until` where they are left alone. */
export async function stepFailures(db: Queryable): Promise<StepFailures[]> {
  // A scan: a row for each step that failed.
  const { rows } = await db.query<StepFailures>(
    `select step, failures - is_running::int as failures,
       case when quarantined_until > now() then quarantined_until end as until, error
     from engram.step_failures where failures > is_running::int order by step`,
  );
  return rows;
}

interface CycleTotals {
  readonly started: number;
  readonly completed: number;
  readonly lastCleanAt: Date | null;
  readonly lastGoodAt: Date | null;
  readonly lastFailedAt: Date | null;
  /** When this database first had our schema. */
  readonly bornAt: Date;
}

export async function cycleTotals(db: Queryable): Promise<CycleTotals> {
  // A scan of the cycles, which are six a day at most and never deleted, since these are counted from them.
  const { rows } = await db.query<CycleTotals>(
    `select count(*) as started,
       count(*) filter (where outcome in ('clean', 'partial')) as completed,
       max(finished_at) filter (where outcome = 'clean') as "lastCleanAt",
       max(finished_at) filter (where outcome in ('clean', 'partial')) as "lastGoodAt",
       case when (array_agg(outcome order by finished_at desc, id desc) filter (where finished_at is not null))[1] = 'failed'
         then max(finished_at) end as "lastFailedAt",
       (select min(applied_at) from engram.migrations) as "bornAt"
     from engram.sleep_cycles`,
  );
  const [totals] = rows;
  if (!totals) throw new Error('an aggregate answered with no row');
  return totals;
}
