import type { Queryable, Tx } from '../db/database.ts';

/** Who writes: compared by every statement that changes anything, so that one that lost its lease changes nothing. */
export interface CycleWriter {
  readonly instanceId: string;
  readonly fence: number;
}

/**
 * Locks the leader's row, so that whoever takes over waits for this statement and none is half before and half after.
 * Parameters 1 and 2 are the instance and the fence.
 */
const holdsLease = `lease as materialized (
  select true from engram.leader where instance_id = $1 and fence = $2 and expires_at > now() for share)`;

/** A cycle that nobody went on with for this long is given up: what it knew of the store is old by then. */
export const abandonedAfter = '12 hours';

export interface OpenedStep {
  readonly name: string;
  readonly status: 'pending' | 'running' | 'done' | 'failed' | 'quarantined';
}

export interface OpenedCycle {
  readonly id: string;
  /** False: this call began it. */
  readonly isResumed: boolean;
  /** Gone on with, from its first step: it was begun before the force that this run is of. */
  readonly startsOver: boolean;
  /** Whether one that nobody went on with was given up for it. */
  readonly abandoned: boolean;
  readonly steps: readonly OpenedStep[];
}

/**
 * Goes on with the open cycle, or begins one. Null: somebody else leads.
 *
 * A force that finds one open has all of its steps done again, whatever an earlier night, or an earlier force, did of them:
 * its drain may have ended before what it was forced for was written. The same force that goes on after a crash has not.
 * The cycle stays the same one, so that what was started is completed and none is given up for it.
 */
export async function openCycle(
  tx: Tx,
  writer: CycleWriter,
  wanted: {
    readonly id: string;
    readonly trigger: string;
    readonly isForced: boolean;
    readonly steps: readonly string[];
  },
): Promise<OpenedCycle | null> {
  const { rowCount: leads } = await tx.query(`with ${holdsLease} select from lease`, [writer.instanceId, writer.fence]);
  if (leads === 0) return null;
  // Index sleep_cycles_open, which holds one row at most.
  const { rowCount: abandoned } = await tx.query(
    `update engram.sleep_cycles set finished_at = now(), outcome = 'abandoned'
     where finished_at is null and touched_at < now() - interval '${abandonedAfter}'`,
  );
  const { rowCount: begun } = await tx.query(
    `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id) values ($1, $2, $3, $4)
     on conflict ((true)) where finished_at is null do nothing`,
    [wanted.id, wanted.trigger, wanted.isForced, writer.instanceId],
  );
  // Of one that was begun just now there is nothing to do again.
  const startsOver = wanted.isForced && (await takeForForce(tx, wanted.trigger)) && begun === 0;
  const { rows: cycles } = await tx.query<{ id: string }>(
    'select id from engram.sleep_cycles where finished_at is null',
  );
  const id = cycles[0]?.id;
  if (id === undefined) throw new Error('the open cycle ended under the lock of the leader');
  // Another build may have begun it: steps are found by name, and what nobody can run any more keeps no cycle open.
  await tx.query(
    `delete from engram.sleep_steps where cycle_id = $1 and status in ('pending', 'running') and name <> all($2::text[])`,
    [id, wanted.steps],
  );
  await tx.query(
    `insert into engram.sleep_steps (cycle_id, name, position)
       select $1, name, position from unnest($2::text[]) with ordinality as t (name, position)
     on conflict (cycle_id, name) do update set position = excluded.position`,
    [id, wanted.steps],
  );
  const { rows: steps } = await tx.query<OpenedStep>(
    'select name, status from engram.sleep_steps where cycle_id = $1 order by position',
    [id],
  );
  return { id, isResumed: begun === 0, startsOver, abandoned: abandoned > 0, steps };
}

/** Makes the open cycle that of the force at hand, with nothing of it done. False: it was already, and is left as it is. */
async function takeForForce(tx: Tx, trigger: string): Promise<boolean> {
  // One row each, and the steps of one cycle. One that is running is so for whoever owes its end.
  const { rowCount } = await tx.query(
    `with forced as (
       update engram.sleep_cycles c set is_forced = true, forced_at = l.honoured_force_at, trigger = $1
       from engram.lifecycle l
       where c.finished_at is null and (not c.is_forced or c.forced_at is distinct from l.honoured_force_at)
       returning c.id),
     reset as (
       update engram.sleep_steps s set status = case s.status when 'running' then s.status else 'pending' end,
         checkpoint = null, started_at = null, finished_at = null, done = null, total = null, note = null, error = null
       from forced where s.cycle_id = forced.id)
     select from forced`,
    [trigger],
  );
  return rowCount > 0;
}

/** Three in a row. */
const failuresBeforeQuarantine = 3;
const quarantineLength = '24 hours';

export type StepStart =
  /** `died`: the last one that began it never said how it ended. */
  | { readonly kind: 'begun'; readonly checkpoint: unknown; readonly died: boolean }
  | { readonly kind: 'quarantined' }
  | { readonly kind: 'lost' };

/**
 * Begins a step, or goes on with it. The failure is counted before anything is done and given back by the end, so that a
 * step that kills its process is counted without anybody there to do it.
 */
export async function beginStep(
  tx: Tx,
  writer: CycleWriter,
  step: { readonly cycleId: string; readonly name: string; readonly ignoresQuarantine: boolean },
): Promise<StepStart> {
  const { rowCount: leads } = await tx.query(`with ${holdsLease} select from lease`, [writer.instanceId, writer.fence]);
  if (leads === 0) return { kind: 'lost' };
  // Primary keys throughout. Whoever is said to be at it is dead: one leads, and it is here.
  const { rows: records } = await tx.query<{ died: boolean; is_quarantined: boolean }>(
    `with found as (select * from engram.step_failures where step = $1 for update)
     update engram.step_failures f
     set is_running = false, quarantined_until = case
       when found.is_running and f.failures >= ${failuresBeforeQuarantine}
         and coalesce(f.quarantined_until <= now(), true) then now() + interval '${quarantineLength}'
       else f.quarantined_until end
     from found where f.step = found.step
     returning found.is_running as died, coalesce(f.quarantined_until > now(), false) as is_quarantined`,
    [step.name],
  );
  await tx.query('update engram.sleep_cycles set touched_at = now() where id = $1', [step.cycleId]);
  const record = records[0];
  if (record?.is_quarantined && !step.ignoresQuarantine) {
    await tx.query(
      `update engram.sleep_steps set status = 'quarantined', finished_at = now() where cycle_id = $1 and name = $2`,
      [step.cycleId, step.name],
    );
    return { kind: 'quarantined' };
  }
  await tx.query(
    `insert into engram.step_failures as f (step, failures, is_running) values ($1, 1, true)
     on conflict (step) do update set failures = f.failures + 1, is_running = true, updated_at = now()`,
    [step.name],
  );
  const { rows } = await tx.query<{ checkpoint: unknown }>(
    `update engram.sleep_steps
     set status = 'running', runs = runs + 1, started_at = coalesce(started_at, now()), finished_at = null, error = null
     where cycle_id = $1 and name = $2 returning checkpoint`,
    [step.cycleId, step.name],
  );
  return { kind: 'begun', checkpoint: rows[0]?.checkpoint ?? null, died: record?.died ?? false };
}

export interface StepProgress {
  readonly done: number | null;
  readonly total: number | null;
  readonly note: string | null;
}

/** Keeps where a step is. False, and nothing written: somebody else leads, or the step is not running. */
export async function saveStep(
  db: Queryable,
  writer: CycleWriter,
  step: { readonly cycleId: string; readonly name: string; readonly checkpoint: unknown } & StepProgress,
): Promise<boolean> {
  // Primary keys.
  const { rowCount } = await db.query(
    `with ${holdsLease},
       touched as (update engram.sleep_cycles c set touched_at = now() from lease
         where c.id = $3 and c.finished_at is null returning c.id)
     update engram.sleep_steps s set checkpoint = $5, done = $6, total = $7, note = $8
     from touched where s.cycle_id = touched.id and s.name = $4 and s.status = 'running'`,
    [
      writer.instanceId,
      writer.fence,
      step.cycleId,
      step.name,
      JSON.stringify(step.checkpoint),
      step.done,
      step.total,
      step.note,
    ],
  );
  return rowCount === 1;
}

export interface EndedStep extends StepProgress {
  readonly cycleId: string;
  readonly name: string;
  /** `deferred`: pending again, with its checkpoint. */
  readonly end: 'done' | 'failed' | 'deferred';
  readonly error: string | null;
}

/** False, and nothing written: somebody else leads, or the step is not running. */
export async function endStep(db: Queryable, writer: CycleWriter, step: EndedStep): Promise<boolean> {
  // Primary keys. A quarantine that stands is not made longer by a forced run that fails.
  const { rows } = await db.query<{ ended: number }>(
    `with ${holdsLease},
       touched as (update engram.sleep_cycles c set touched_at = now() from lease
         where c.id = $3 and c.finished_at is null returning c.id),
       ended as (update engram.sleep_steps s
         set status = case $5 when 'deferred' then 'pending' else $5 end,
           finished_at = case when $5 <> 'deferred' then now() end, done = $6, total = $7, note = $8, error = $9
         from touched where s.cycle_id = touched.id and s.name = $4 and s.status = 'running' returning s.name),
       cleared as (delete from engram.step_failures f using ended where f.step = ended.name and $5 = 'done'),
       given_back as (update engram.step_failures f set failures = f.failures - 1, is_running = false
         from ended where f.step = ended.name and $5 = 'deferred'),
       counted as (update engram.step_failures f set is_running = false, error = $9, updated_at = now(),
           quarantined_until = case
             when f.failures >= ${failuresBeforeQuarantine} and coalesce(f.quarantined_until <= now(), true)
               then now() + interval '${quarantineLength}'
             else f.quarantined_until end
         from ended where f.step = ended.name and $5 = 'failed')
     select count(*) as ended from ended`,
    [writer.instanceId, writer.fence, step.cycleId, step.name, step.end, step.done, step.total, step.note, step.error],
  );
  return rows[0]?.ended === 1;
}

/**
 * Ends a cycle that has nothing left to do, by what became of its steps, whoever ran them and in how many goes. Null, and
 * nothing written: somebody else leads, or something is left.
 */
export async function finishCycle(
  db: Queryable,
  writer: CycleWriter,
  cycleId: string,
): Promise<'clean' | 'partial' | 'failed' | null> {
  // Primary keys.
  const { rows } = await db.query<{ outcome: 'clean' | 'partial' | 'failed' }>(
    `with ${holdsLease},
       steps as (select case when bool_or(status = 'failed') then 'failed'
           when bool_or(status = 'quarantined') then 'partial' else 'clean' end as outcome
         from engram.sleep_steps where cycle_id = $3
         having bool_and(status in ('done', 'failed', 'quarantined')))
     update engram.sleep_cycles c set finished_at = now(), touched_at = now(), outcome = steps.outcome
     from lease, steps where c.id = $3 and c.finished_at is null returning c.outcome`,
    [writer.instanceId, writer.fence, cycleId],
  );
  return rows[0]?.outcome ?? null;
}
