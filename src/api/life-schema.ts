import { z } from 'zod';
import type { HoldReason, IdleCountdown } from '../lifecycle/idle-facts.ts';
import { lifecycleStates } from '../lifecycle/states.ts';
import type { CycleOutcome, StepStatus } from '../sleep/cycle-view.ts';
import { sleepStepNames } from '../sleep/step.ts';

const time = z.iso.datetime();
const count = z.int().min(0);

const countdownTargets = ['drowsy', 'sleep', 'hibernation'] as const satisfies IdleCountdown['to'][];
const holdReasons = [
  'idle_wait',
  'requests_in_flight',
  'jobs_active',
  'work_to_do',
  'unknown_work',
  'just_woken',
  'cycle',
  'hibernation_off',
  'asleep',
] as const satisfies HoldReason[];
const stepStatuses = ['pending', 'running', 'done', 'failed', 'quarantined'] as const satisfies StepStatus[];
const cycleOutcomes = ['clean', 'partial', 'failed', 'abandoned'] as const satisfies CycleOutcome[];

const stepSchema = z.strictObject({
  name: z.enum(sleepStepNames),
  status: z.enum(stepStatuses),
  runs: count,
  done: count.nullable(),
  total: count.nullable().meta({ description: 'Null: nobody knows.' }),
  note: z.string().nullable().meta({ description: 'What came of it, in a few words.' }),
  error: z.string().nullable(),
  started_at: time.nullable(),
  finished_at: time.nullable(),
});

const cycleSchema = z
  .strictObject({
    id: z.string(),
    trigger: z.string(),
    forced: z.boolean(),
    started_at: time,
    finished_at: time.nullable(),
    outcome: z.enum(cycleOutcomes).nullable(),
    running: z.boolean().meta({ description: 'Whether this process is at it now.' }),
    steps: z.array(stepSchema),
  })
  .meta({ description: 'The open sleep cycle, or else the last one.' });

/**
 * The life of the daemon as status tells it: `LifeView` of the lifecycle, `CycleView`, `QuarantineView` and `CycleHistory`
 * of sleep, and what the process knows of itself. Snake case; times ISO 8601 in UTC.
 */
export const lifeSchema = z
  .strictObject({
    state: z.enum(lifecycleStates),
    since: time,
    reason: z.string(),
    stamped_at: time.meta({ description: 'When the state was last read from the database.' }),
    parked: z.boolean().meta({ description: 'This process has let go of everything and only listens.' }),
    activity_age_seconds: z.number().min(0).nullable().meta({ description: 'Null: no request yet.' }),
    requests_in_flight: count,
    idle_countdown: z.strictObject({ to: z.enum(countdownTargets), seconds: z.number().min(0) }).nullable(),
    held_by: z.enum(holdReasons).nullable().meta({ description: 'What keeps it from going further to sleep.' }),
    next_due: z.strictObject({ at: time, what: z.string() }).nullable(),
    paused: z.strictObject({ since: time, until: time.nullable() }).nullable(),
    sleep_forced: z.boolean().meta({ description: 'A forced sleep is on its way.' }),
    leader: z.strictObject({ instance_id: z.string(), is_self: z.boolean() }).nullable(),
    last_tick_at: time.nullable(),
    skipped: z.string().nullable().meta({ description: 'Why the last tick came to nothing; null: it did not.' }),
    cycle: cycleSchema.nullable(),
    cycles: z.strictObject({
      started: count,
      completed: count.meta({ description: 'Clean or partial.' }),
      last_clean_at: time.nullable(),
      last_failed_at: time.nullable().meta({ description: 'End of the last cycle if that failed.' }),
    }),
    quarantine: z.array(
      z.strictObject({
        step: z.enum(sleepStepNames),
        failures: count,
        until: time.nullable().meta({ description: 'Null: it has failed, and is tried again.' }),
        error: z.string().nullable(),
      }),
    ),
    event_loop_delay: z.strictObject({ p50_ms: z.number().min(0), p99_ms: z.number().min(0) }).nullable(),
    needs_operator: z.string().nullable().meta({ description: 'What a person has to see to.' }),
    last_exit: z
      .strictObject({ reason: z.string(), at: time })
      .nullable()
      .meta({ description: 'How the daemon before this one ended.' }),
  })
  .meta({ id: 'Life', description: 'Whether the daemon is awake, why, and what its nights come to.' });
