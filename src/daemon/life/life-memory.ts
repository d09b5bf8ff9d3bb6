import type { DueFacts, NextDue } from '../../lifecycle/due-facts.ts';
import { countdown } from '../../lifecycle/idle-decision.ts';
import type { Counted, HoldReason, IdleFacts, IdleThresholds } from '../../lifecycle/idle-facts.ts';
import type { LifeView } from '../../lifecycle/life-view.ts';
import type { LifeRow } from '../../store/lifecycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Activity } from './activity.ts';
import type { ChoresDue } from './chore-runner.ts';

/** What the last look of the leader in this process found beside the row. */
export interface Look {
  readonly workableRows: Counted;
  readonly jobsActive: Counted;
  readonly cycle: IdleFacts['cycle'];
  readonly heldBy: HoldReason | null;
  readonly nextDue: NextDue | null;
}

const noLook: Look = { workableRows: 'unknown', jobsActive: 'unknown', cycle: 'none', heldBy: null, nextDue: null };

/** The row as last read, with the clock gone on since: status asks nobody. */
export interface LifeMemory {
  row(): LifeRow;
  remember(row: LifeRow): void;
  /** What the clock of the database shows, as far as this one's has gone on: a machine that was suspended has gone on, too. */
  databaseNow(): Date;
  look(): Look;
  rememberLook(look: Look): void;
  /** The last tick of this process; `why`: what it came to nothing for. */
  ticked(why: string | null): void;
  /** What the idle decision is made of, now. */
  idleFacts(look: Pick<Look, 'workableRows' | 'jobsActive' | 'cycle'>, inQuietHours: boolean): IdleFacts;
  /** `isLeading`: the row may still name this process, which has given the lease back. */
  view(process: { readonly isParked: boolean; readonly isLeading: boolean }): LifeView;
}

export function createLifeMemory(deps: {
  readonly first: LifeRow;
  readonly instanceId: string;
  readonly thresholds: IdleThresholds;
  readonly activity: Activity;
  readonly inQuietHours: () => boolean;
  readonly clock: Clock;
}): LifeMemory {
  const { activity, clock, instanceId, thresholds } = deps;
  let row = deps.first;
  let readMs = clock.monotonicMs();
  let readAt = clock.now();
  let look = noLook;
  let lastTickAt: Date | null = null;
  let skipped: string | null = null;

  const sinceRead = () => Math.max(0, (clock.monotonicMs() - readMs) / 1000);

  /** What this process was asked since is known here first. */
  function ownAgeSeconds(): number {
    const ageMs = activity.ageMs();
    return ageMs === null ? Number.POSITIVE_INFINITY : ageMs / 1000;
  }

  function idleFacts(
    { workableRows, jobsActive, cycle }: Pick<Look, 'workableRows' | 'jobsActive' | 'cycle'>,
    inQuietHours: boolean,
  ): IdleFacts {
    return {
      state: row.state,
      secondsSinceWoken: row.secondsSinceWoken + sinceRead(),
      idleSeconds: Math.min(row.idleSeconds + sinceRead(), ownAgeSeconds()),
      requestsInFlight: Math.max(row.requestsInFlight, activity.inFlight()),
      workableRows,
      jobsActive,
      forceAgeSeconds: row.forceAgeSeconds === null ? null : row.forceAgeSeconds + sinceRead(),
      wasForced: row.honouredForceAt !== null,
      inQuietHours,
      cycle,
    };
  }

  function activityAgeSeconds(): number | null {
    const known =
      row.lastActivityAt === null
        ? Number.POSITIVE_INFINITY
        : (row.now.getTime() - row.lastActivityAt.getTime()) / 1000 + sinceRead();
    const age = Math.min(known, ownAgeSeconds());
    return Number.isFinite(age) ? Math.max(0, age) : null;
  }

  return {
    row: () => row,
    remember(next) {
      row = next;
      readMs = clock.monotonicMs();
      readAt = clock.now();
    },
    databaseNow: () => new Date(row.now.getTime() + clock.now().getTime() - readAt.getTime()),
    look: () => look,
    rememberLook(next) {
      look = next;
    },
    ticked(why) {
      lastTickAt = clock.now();
      skipped = why;
    },
    idleFacts,
    view: ({ isParked, isLeading }) => ({
      state: row.state,
      since: row.since,
      reason: row.reason,
      stampedAt: readAt,
      isParked,
      activityAgeSeconds: activityAgeSeconds(),
      requestsInFlight: Math.max(row.requestsInFlight, activity.inFlight()),
      countdown: isParked ? null : countdown(idleFacts(look, deps.inQuietHours()), thresholds),
      heldBy: look.heldBy,
      nextDue: look.nextDue,
      paused: row.pause,
      isSleepForced: row.forceAgeSeconds !== null,
      leader: leaderOf(row, instanceId, isLeading),
      lastTickAt,
      skipped: skipped ?? row.tickSkipped,
    }),
  };
}

/** What a daemon that is asleep has to be there for. */
export function dueFacts(facts: {
  readonly row: LifeRow;
  readonly workAt: Date | null;
  readonly cycleAt: Date | null;
  readonly quietHoursAt: Date | null;
  readonly chores: ChoresDue;
}): DueFacts {
  const { row, workAt, cycleAt, quietHoursAt, chores } = facts;
  // Unknown is not never (law L12): somebody looks again.
  const dueAt = (at: Date | null | 'unknown') => (at === 'unknown' ? row.now : at);
  return {
    // What a forced sleep left waits for somebody who comes, or for the next cycle.
    work: row.pause !== null || row.honouredForceAt !== null ? null : workAt,
    pauseEnd: row.pause?.until ?? null,
    cycle: cycleAt,
    quietHours: quietHoursAt,
    backup: dueAt(chores.backup),
    snapshot: dueAt(chores.snapshot),
  };
}

function leaderOf({ leader }: LifeRow, ownId: string, isLeading: boolean): LifeView['leader'] {
  if (leader === null) return null;
  const isSelf = leader.instanceId === ownId;
  return isSelf && !isLeading ? null : { instanceId: leader.instanceId, isSelf };
}
