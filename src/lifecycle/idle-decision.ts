import type { HoldReason, IdleCountdown, IdleDecision, IdleFacts, IdleThresholds } from './idle-facts.ts';

/** Against oscillation: nothing moves towards sleep sooner after somebody woke the daemon. Waking is never refused. */
const settleSeconds = 5;

/** In quiet hours, where a cycle is due, sleep need not wait longer than this without a request. */
const quietIdleSeconds = 30;

/**
 * How long requests hold a forced sleep off; as long as batches in flight get. One that hangs would hold it off for ever,
 * and a daemon that hangs is what sleep is forced upon. What is then still being answered is answered in SLEEP.
 */
const forceWaitsForRequestsSeconds = 30;

/** Something that holds a state off: for so long, or `Infinity` where only an event ends it. */
interface Wait {
  readonly seconds: number;
  readonly heldBy: HoldReason;
}

interface Gate {
  readonly to: IdleCountdown['to'];
  readonly wait: Wait;
}

/**
 * The deepest state that nothing holds off; the caller walks there by `hops`. HIBERNATION is reached from SLEEP alone,
 * with the cycle of that SLEEP done or not due.
 */
export function decideIdle(facts: IdleFacts, thresholds: IdleThresholds): IdleDecision {
  const gates = gatesAhead(facts, thresholds);
  const open = gates.findLast(({ wait }) => wait.seconds <= 0);
  if (open) return { to: open.to, reason: reasonFor(open.to, facts, thresholds) };
  const next = nextGate(gates);
  if (!next) return { to: 'stay', heldBy: 'asleep', nextLookSeconds: null };
  const { seconds, heldBy } = next.wait;
  return { to: 'stay', heldBy, nextLookSeconds: Number.isFinite(seconds) ? seconds : null };
}

/** To the state that comes next if nothing happens; null where that alone does not bring one. */
export function countdown(facts: IdleFacts, thresholds: IdleThresholds): IdleCountdown | null {
  const next = nextGate(gatesAhead(facts, thresholds));
  if (!next || !Number.isFinite(next.wait.seconds)) return null;
  return { to: next.to, seconds: Math.max(0, next.wait.seconds) };
}

/** The one that opens first; of those that open together the nearer one. */
function nextGate(gates: readonly Gate[]): Gate | undefined {
  return gates.reduce<Gate | undefined>(
    (first, gate) => (first && first.wait.seconds <= gate.wait.seconds ? first : gate),
    undefined,
  );
}

/** From the nearer to the deeper. */
function gatesAhead(facts: IdleFacts, thresholds: IdleThresholds): Gate[] {
  const sleep: Gate = { to: 'sleep', wait: waitForSleep(facts, thresholds) };
  switch (facts.state) {
    case 'wake':
      // On the way to a forced sleep drowsiness is no aim of its own.
      return facts.forceAgeSeconds === null
        ? [{ to: 'drowsy', wait: waitForDrowsy(facts, thresholds) }, sleep]
        : [sleep];
    case 'drowsy':
      return [sleep];
    case 'sleep':
      return [{ to: 'hibernation', wait: waitForHibernation(facts, thresholds) }];
    case 'hibernation':
      return [];
  }
}

function waitForDrowsy(facts: IdleFacts, thresholds: IdleThresholds): Wait {
  return longest([requests(facts), settling(facts), idleFor(facts, thresholds.drowsyAfterSeconds)]);
}

function waitForSleep(facts: IdleFacts, thresholds: IdleThresholds): Wait {
  // Jobs hold a forced sleep as well: it would begin under a running drain. Hand-out is stopped by then and batches are
  // aborted after 30 s, so that this ends. Rows that nobody has in hand stay for the drain of the forced cycle.
  if (facts.forceAgeSeconds !== null) {
    const patience = forceWaitsForRequestsSeconds - facts.forceAgeSeconds;
    return longest([held(facts.requestsInFlight > 0, 'requests_in_flight', patience), ...jobs(facts), settling(facts)]);
  }
  const idleSeconds = mayEndQuietly(facts)
    ? Math.min(quietIdleSeconds, thresholds.drowsyAfterSeconds)
    : thresholds.sleepAfterSeconds;
  return longest([
    requests(facts),
    ...jobs(facts),
    // Unknown is not empty (law L12).
    held(facts.workableRows === 'unknown', 'unknown_work'),
    held(facts.workableRows !== 'unknown' && facts.workableRows > 0, 'work_to_do'),
    settling(facts),
    idleFor(facts, idleSeconds),
  ]);
}

/** Rows do not hold it: what the drain of the cycle has left waits for somebody who comes, or for the next cycle. */
function waitForHibernation(facts: IdleFacts, thresholds: IdleThresholds): Wait {
  return longest([
    held(!thresholds.hibernates, 'hibernation_off'),
    held(facts.cycle !== 'none', 'cycle'),
    requests(facts),
    ...jobs(facts),
    settling(facts),
    // Who forces a sleep has no wait in mind.
    ...(facts.wasForced ? [] : [idleFor(facts, thresholds.hibernateAfterSeconds)]),
  ]);
}

function mayEndQuietly(facts: IdleFacts): boolean {
  return facts.inQuietHours && facts.cycle === 'due';
}

function requests(facts: IdleFacts): Wait {
  return held(facts.requestsInFlight > 0, 'requests_in_flight');
}

function jobs({ jobsActive }: IdleFacts): Wait[] {
  return [
    held(jobsActive === 'unknown', 'unknown_work'),
    held(jobsActive !== 'unknown' && jobsActive > 0, 'jobs_active'),
  ];
}

function settling(facts: IdleFacts): Wait {
  return { seconds: settleSeconds - facts.secondsSinceWoken, heldBy: 'just_woken' };
}

/** Waking is no activity, but who wakes a daemon that was idle for hours does not want it to fall asleep at once. */
function idleFor(facts: IdleFacts, seconds: number): Wait {
  return { seconds: seconds - Math.min(facts.idleSeconds, facts.secondsSinceWoken), heldBy: 'idle_wait' };
}

function held(holds: boolean, heldBy: HoldReason, seconds = Number.POSITIVE_INFINITY): Wait {
  return { seconds: holds ? seconds : 0, heldBy };
}

/** Of those that last equally long the first. */
function longest(waits: readonly [Wait, ...Wait[]]): Wait {
  return waits.reduce((most, wait) => (wait.seconds > most.seconds ? wait : most));
}

function reasonFor(to: IdleCountdown['to'], facts: IdleFacts, thresholds: IdleThresholds) {
  switch (to) {
    case 'drowsy':
      return 'idle';
    case 'sleep': {
      if (facts.forceAgeSeconds !== null) return 'forced';
      const hasWaited = idleFor(facts, thresholds.sleepAfterSeconds).seconds <= 0;
      return hasWaited ? 'idle' : 'quiet_hours';
    }
    case 'hibernation':
      return facts.wasForced ? 'forced_cycle_over' : 'idle';
  }
}
