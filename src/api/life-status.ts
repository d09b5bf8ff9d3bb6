import type { z } from 'zod';
import type { LifeView } from '../lifecycle/life-view.ts';
import type { CycleHistory, CycleView, QuarantineView } from '../sleep/cycle-view.ts';
import type { lifeSchema } from './life-schema.ts';

/** What status asks of the daemon's life. Everything is answered from memory. */
export interface LifeForStatus {
  view(): LifeView;
  /** As last read, with the progress of a step of this process up to date. */
  sleep(): {
    readonly cycle: CycleView | null;
    readonly history: CycleHistory;
    readonly quarantine: readonly QuarantineView[];
  };
  /** Reads what {@link view} and {@link sleep} tell; one statement or three. */
  refresh(): Promise<void>;
  eventLoopDelay(): { readonly p50Ms: number; readonly p99Ms: number } | null;
  needsOperator(): string | null;
  /** Why the last engramd in this data directory ended. */
  lastExit(): { readonly reason: string; readonly at: Date } | null;
}

const iso = (time: Date | null) => time?.toISOString() ?? null;

/** The life section of status. */
export function presentLife(life: LifeForStatus): z.input<typeof lifeSchema> {
  const view = life.view();
  const { cycle, history, quarantine } = life.sleep();
  const delay = life.eventLoopDelay();
  const exit = life.lastExit();
  return {
    state: view.state,
    since: view.since.toISOString(),
    reason: view.reason,
    stamped_at: view.stampedAt.toISOString(),
    parked: view.isParked,
    activity_age_seconds: view.activityAgeSeconds,
    requests_in_flight: view.requestsInFlight,
    idle_countdown: view.countdown,
    held_by: view.heldBy,
    next_due: view.nextDue && { at: view.nextDue.at.toISOString(), what: view.nextDue.what },
    paused: view.paused && { since: view.paused.since.toISOString(), until: iso(view.paused.until) },
    sleep_forced: view.isSleepForced,
    leader: view.leader && { instance_id: view.leader.instanceId, is_self: view.leader.isSelf },
    last_tick_at: iso(view.lastTickAt),
    skipped: view.skipped,
    cycle: cycle && {
      id: cycle.id,
      trigger: cycle.trigger,
      forced: cycle.isForced,
      started_at: cycle.startedAt.toISOString(),
      finished_at: iso(cycle.finishedAt),
      outcome: cycle.outcome,
      running: cycle.isRunning,
      steps: cycle.steps.map(({ startedAt, finishedAt, ...step }) => ({
        ...step,
        started_at: iso(startedAt),
        finished_at: iso(finishedAt),
      })),
    },
    cycles: {
      started: history.started,
      completed: history.completed,
      last_clean_at: iso(history.lastCleanAt),
      last_failed_at: iso(history.lastFailedAt),
    },
    quarantine: quarantine.map(({ until, ...entry }) => ({ ...entry, until: iso(until) })),
    event_loop_delay: delay && { p50_ms: delay.p50Ms, p99_ms: delay.p99Ms },
    needs_operator: life.needsOperator(),
    last_exit: exit && { reason: exit.reason, at: exit.at.toISOString() },
  };
}
