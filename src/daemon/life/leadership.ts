import type { Database } from '../../db/database.ts';
import { acquireLeadership, releaseLeadership, renewLeadership } from '../../store/leader.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';

/** A leader that says nothing for this long, by the database's clock, is none any more. */
const leaseMs = 15_000;
/** Two renewals may be lost to a database that stalls; a dead leader is followed within 20 s. */
const renewEveryMs = 5000;

/** One term as the leader. */
export interface Term {
  /** Compared by every write of a leader. */
  readonly fence: number;
  /** Aborted when the term is over, or cannot be known not to be. */
  readonly over: AbortSignal;
}

export interface Leadership {
  /** Null: somebody else leads, or nobody. */
  term(): Term | null;
  /** Begins to ask for the lease; the first question is answered when this resolves. */
  start(): Promise<void>;
  /** Gives the lease back, so that nobody has to wait for its end. */
  stop(): Promise<void>;
}

interface RunningTerm {
  readonly fence: number;
  readonly controller: AbortController;
  renewedMs: number;
}

/**
 * Asks for the lease every five seconds while the process is awake. A renewal that fails is tried again until the lease
 * may have run out by our own clock: from then on nothing is done in its name.
 */
export function createLeadership(deps: {
  readonly db: Database;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told when this process begins to lead. */
  readonly onElected: () => void;
}): Leadership {
  const { db, instanceId, clock, log, metrics } = deps;
  let current: RunningTerm | null = null;
  let stopped = new AbortController();
  let running: Promise<void> | null = null;

  function end(why: string): void {
    if (current === null) return;
    log.info({ fence: current.fence, why }, 'leads no more');
    current.controller.abort(new Error(`the leadership is over: ${why}`));
    current = null;
    metrics.leading.set(0);
  }

  async function ask(): Promise<void> {
    const askedMs = clock.monotonicMs();
    try {
      if (current === null) {
        const lease = await acquireLeadership(db, instanceId, leaseMs);
        if (lease === null) return;
        if (stopped.signal.aborted) return await releaseLeadership(db, instanceId, lease.fence);
        current = { fence: lease.fence, controller: new AbortController(), renewedMs: askedMs };
        metrics.leading.set(1);
        log.info({ fence: lease.fence }, 'leads');
        deps.onElected();
      } else if (await renewLeadership(db, instanceId, current.fence, leaseMs)) {
        current.renewedMs = askedMs;
      } else {
        end('another one took over');
      }
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown) }, 'the lease on leading was not renewed');
    }
    // From the instant of the question: how long the answer took to come is part of the lease.
    if (current !== null && clock.monotonicMs() - current.renewedMs >= leaseMs) end('the lease ran out');
  }

  async function loop({ signal }: AbortController): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(renewEveryMs, signal);
      if (signal.aborted) return;
      await ask();
    }
  }

  return {
    term() {
      if (current === null) return null;
      if (clock.monotonicMs() - current.renewedMs >= leaseMs) {
        end('the lease ran out');
        return null;
      }
      return { fence: current.fence, over: current.controller.signal };
    },
    async start() {
      if (running !== null) return;
      stopped = new AbortController();
      const current = stopped;
      const asked = ask();
      running = asked.then(() => loop(current));
      await asked;
    },
    async stop() {
      if (running === null) return;
      stopped.abort();
      await running;
      running = null;
      const fence = current?.fence;
      end('stopping');
      if (fence !== undefined) await releaseLeadership(db, instanceId, fence).catch(() => undefined);
    },
  };
}
