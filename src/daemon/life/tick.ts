import type { Database } from '../../db/database.ts';
import { decideCycle, nextCycleAt } from '../../lifecycle/cycle-decision.ts';
import type { CycleDecision, CycleFacts } from '../../lifecycle/cycle-facts.ts';
import { hops, transition } from '../../lifecycle/fsm.ts';
import { decideIdle } from '../../lifecycle/idle-decision.ts';
import type { Counted, IdleDecision, IdleFacts, IdleThresholds } from '../../lifecycle/idle-facts.ts';
import { nextDue } from '../../lifecycle/next-due.ts';
import { inQuietHours, nextQuietStart, type QuietHours } from '../../lifecycle/quiet-hours.ts';
import type { LifecycleState, TransitionReason } from '../../lifecycle/states.ts';
import type { SleepCycle } from '../../sleep/sleep-cycle.ts';
import { claimTick, type LifeRow, moveState, readLife } from '../../store/lifecycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import type { ChoresDue } from './chore-runner.ts';
import type { Term } from './leadership.ts';
import { dueFacts, type LifeMemory } from './life-memory.ts';

/** What can be worked on, over all banks and daemons. */
export interface WorkableCounts {
  readonly rows: number;
  readonly jobsActive: number;
  /** When something that rests becomes workable; null: nothing rests. */
  readonly nextAt: Date | null;
}

export interface LeaderDeps {
  readonly db: Database;
  readonly instanceId: string;
  readonly memory: LifeMemory;
  readonly cycle: SleepCycle;
  readonly isCycleRunning: () => boolean;
  /** Requests dispatched so far. */
  readonly askedCount: () => number;
  readonly workable: () => Promise<WorkableCounts>;
  /** When each chore is due next; never throws. */
  readonly choresDue: (now: Date) => Promise<ChoresDue>;
  readonly thresholds: IdleThresholds;
  readonly quietHours: QuietHours | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
}

/** What the leader's part of a tick came to. */
export interface Led {
  /** The row as it stands after it. */
  readonly row: LifeRow;
  readonly cycle: CycleDecision;
  readonly workableRows: Counted;
  readonly jobsActive: Counted;
  readonly chores: ChoresDue;
  readonly idle: IdleDecision;
}

interface Counts {
  readonly rows: Counted;
  readonly jobsActive: Counted;
  readonly nextAt: Date | null;
}

/**
 * The leader's part of a tick: counts, decides, claims the tick by its number, and moves the row. Null: the tick was
 * another one's, or this process leads no more.
 */
export async function lead(deps: LeaderDeps, term: Term, row: LifeRow): Promise<Led | null> {
  const { db, instanceId, memory } = deps;
  const asked = deps.askedCount();
  const counts = await count(deps, row);
  const cycleFacts = await cycleFactsOf(deps, row);
  const chores = await deps.choresDue(row.now);
  const first = decide(deps, counts, cycleFacts);
  const skipped = skippedBecause(row, counts, first.cycle);
  const { tick } = row;
  if (!(await claimTick(db, { instanceId, fence: term.fence, tick, skipped }))) return null;
  memory.ticked(skipped);
  const moved = await carryOut(deps, term, row, first.idle, asked);
  memory.remember(moved);
  const last = moved.state === row.state ? first : decide(deps, counts, { ...cycleFacts, ...stateOf(moved) });
  rememberLook(deps, moved, { counts, chores, cycleFacts: { ...cycleFacts, ...stateOf(moved) } }, last);
  const { rows: workableRows, jobsActive } = counts;
  return { row: moved, cycle: last.cycle, workableRows, jobsActive, chores, idle: last.idle };
}

/** The look without the lead: a follower has to know, too, what it has to be up for. */
export async function lookAround(deps: LeaderDeps, row: LifeRow): Promise<void> {
  const counts = await count(deps, row);
  const cycleFacts = await cycleFactsOf(deps, row);
  const chores = await deps.choresDue(row.now);
  rememberLook(deps, row, { counts, chores, cycleFacts }, decide(deps, counts, cycleFacts));
}

/** What a look found beside the row. */
interface Found {
  readonly counts: Counts;
  readonly chores: ChoresDue;
  readonly cycleFacts: CycleFacts;
}

interface Decided {
  readonly cycle: CycleDecision;
  readonly cycleState: IdleFacts['cycle'];
  readonly idle: IdleDecision;
}

function decide(deps: LeaderDeps, counts: Counts, cycleFacts: CycleFacts): Decided {
  // Awake, what counts is whether there would be one to sleep for.
  const asleep = decideCycle({ ...cycleFacts, state: 'sleep' });
  const cycleState = deps.isCycleRunning() ? 'running' : asleep.kind === 'run' ? 'due' : 'none';
  const quiet = inQuietHours(deps.quietHours, deps.clock.now());
  const known: Pick<IdleFacts, 'workableRows' | 'jobsActive' | 'cycle'> = {
    workableRows: counts.rows,
    jobsActive: counts.jobsActive,
    cycle: cycleState,
  };
  const idle = decideIdle(deps.memory.idleFacts(known, quiet), deps.thresholds);
  return { cycle: decideCycle(cycleFacts), cycleState, idle };
}

function rememberLook(
  { memory, quietHours, clock }: LeaderDeps,
  row: LifeRow,
  { counts, chores, cycleFacts }: Found,
  { cycleState, idle }: Decided,
): void {
  memory.rememberLook({
    workableRows: counts.rows,
    jobsActive: counts.jobsActive,
    cycle: cycleState,
    heldBy: idle.to === 'stay' ? idle.heldBy : null,
    nextDue: nextDue(
      dueFacts({
        row,
        workAt: counts.rows === 'unknown' || counts.rows > 0 ? row.now : counts.nextAt,
        cycleAt: nextCycleAt(cycleFacts),
        quietHoursAt: row.state === 'hibernation' ? null : nextQuietStart(quietHours, clock.now()),
        chores,
      }),
      row.now,
    ),
  });
}

/** What this tick comes to nothing for; null: it does not (law L13). */
function skippedBecause(row: LifeRow, counts: Counts, cycle: CycleDecision): string | null {
  if (counts.rows === 'unknown') return 'unknown_work';
  if (row.pause !== null) return 'paused';
  return row.state === 'sleep' && cycle.kind === 'skip' ? cycle.why : null;
}

/** A count that fails is unknown, and the tick goes on (law L12). What a pause keeps is not work. */
async function count({ workable, log }: LeaderDeps, row: LifeRow): Promise<Counts> {
  try {
    const { rows, jobsActive, nextAt } = await workable();
    return row.pause === null ? { rows, jobsActive, nextAt } : { rows: 0, jobsActive, nextAt: null };
  } catch (thrown) {
    log.warn({ error: errorMessage(thrown) }, 'what is left to do could not be counted; it does not count as nothing');
    return { rows: 'unknown', jobsActive: 'unknown', nextAt: null };
  }
}

async function cycleFactsOf({ cycle }: LeaderDeps, row: LifeRow): Promise<CycleFacts> {
  const { lastCleanAt, lastGoodAt, lastFailedAt } = await cycle.history();
  const lastEndMs = Math.max(lastGoodAt?.getTime() ?? 0, lastFailedAt?.getTime() ?? 0);
  return {
    ...stateOf(row),
    now: row.now,
    forcedCycleOver: row.honouredForceAt !== null && lastEndMs > row.honouredForceAt.getTime(),
    paused: row.pause !== null,
    openCycle: await cycle.hasOpen(),
    lastGoodAt,
    lastCleanAt,
    lastFailedAt,
    bornAt: row.bornAt,
  };
}

/**
 * A daemon that hibernates is asked as one that is awake: nobody was there since its last cycle, so a new one is due when
 * two days without a clean one are over, not every four hours.
 */
function stateOf(row: LifeRow): { readonly state: LifecycleState; readonly wasForced: boolean } {
  return { state: row.state === 'hibernation' ? 'drowsy' : row.state, wasForced: row.honouredForceAt !== null };
}

/** Hop by hop, each an event of its own. A hop that misses ends it: somebody woke the daemon meanwhile. */
async function carryOut(
  deps: LeaderDeps,
  term: Term,
  row: LifeRow,
  idle: IdleDecision,
  asked: number,
): Promise<LifeRow> {
  if (idle.to === 'stay') return row;
  const { db, instanceId, log, metrics, racepoints } = deps;
  let { state, version } = row;
  for (const event of hops(state, idle.to, idle.reason)) {
    const to = transition(state, event);
    if (to === null || to === 'wake') break;
    await racepoints.reach('life:before-transition', { from: state, to });
    // Somebody came since it was decided. A force does not mind.
    if (deps.askedCount() !== asked && row.forceAgeSeconds === null && row.honouredForceAt === null) break;
    const move = { instanceId, fence: term.fence, version, from: state, to, reason: event.reason };
    const moved = await moveState(db, move);
    if (moved === null) break;
    noteTransition({ log, metrics }, state, to, event.reason);
    state = to;
    version = moved;
  }
  return readLife(db);
}

export function noteTransition(
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
  from: LifecycleState,
  to: LifecycleState,
  reason: TransitionReason,
): void {
  log.info({ from, to, reason }, 'life: a transition');
  metrics.lifecycleTransitions.inc({ from, to });
}
