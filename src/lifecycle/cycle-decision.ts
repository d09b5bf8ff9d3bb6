import type { CycleDecision, CycleFacts } from './cycle-facts.ts';

const hourMs = 3_600_000;
/** After a clean or partial cycle. Without it a night has more than a hundred. */
const coolDownMs = 4 * hourMs;
const backOffMs = 600_000;
/** Without a clean cycle for this long it is held awake as well. */
const starvedAfterMs = 48 * hourMs;

/**
 * Whether a sleep cycle begins now, or goes on. Starvation overrides all that keeps the daemon awake, but neither a pause
 * nor the pace: a step in quarantine makes every cycle of a day partial, and these would then follow each other at once.
 * A cycle that was interrupted goes on without a wait, since it never ended.
 */
export function decideCycle(facts: CycleFacts): CycleDecision {
  const { state, now, openCycle: resumes } = facts;
  if (facts.paused) return { kind: 'skip', why: 'paused', until: null };
  if (state === 'sleep' && facts.wasForced && !facts.forcedCycleOver)
    return { kind: 'run', trigger: 'forced', resumes };
  const isAwake = state === 'wake' || state === 'drowsy';
  const trigger = isAwake ? 'starved' : 'idle';
  const pause = resumes ? null : pauseAfterLast(facts);
  const starvesAt = new Date((facts.lastCleanAt ?? facts.bornAt).getTime() + starvedAfterMs);
  if (isAwake && starvesAt > now) return { kind: 'skip', why: 'awake', until: later(starvesAt, pause?.until) };
  if (!pause || pause.until <= now) return { kind: 'run', trigger, resumes };
  const isOfForce = state === 'sleep' && facts.wasForced;
  return { kind: 'skip', why: isOfForce ? 'forced_cycle_over' : pause.why, until: pause.until };
}

/** When a cycle may begin in the state at hand, if nothing happens until then; null while paused. */
export function nextCycleAt(facts: CycleFacts): Date | null {
  const decision = decideCycle(facts);
  return decision.kind === 'run' ? facts.now : decision.until;
}

function pauseAfterLast(
  facts: CycleFacts,
): { readonly why: 'cooling_down' | 'backing_off'; readonly until: Date } | null {
  const coolsUntil = facts.lastGoodAt && new Date(facts.lastGoodAt.getTime() + coolDownMs);
  const backsOffUntil = facts.lastFailedAt && new Date(facts.lastFailedAt.getTime() + backOffMs);
  if (backsOffUntil && (!coolsUntil || backsOffUntil > coolsUntil)) return { why: 'backing_off', until: backsOffUntil };
  return coolsUntil && { why: 'cooling_down', until: coolsUntil };
}

function later(left: Date, right: Date | undefined): Date {
  return right && right > left ? right : left;
}
