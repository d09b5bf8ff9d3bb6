import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Chore } from './chore.ts';
import type { Term } from './leadership.ts';

/** When each is due next; null: not by itself, or there is none of that name. */
export type ChoresDue = Readonly<Record<Chore['name'], Date | null | 'unknown'>>;

/** Does the chores of the leader beside its ticks, one of a name at a time. */
export interface ChoreRunner {
  /** What cannot be told is unknown, and the tick goes on (law L12). Never throws. */
  due(now: Date): Promise<ChoresDue>;
  /** Begins those whose time has come. The end of the term ends them. */
  begin(term: Term, due: ChoresDue, now: Date): void;
  isRunning(): boolean;
  /** Ends all of them, and waits for that. None begins after it. */
  halt(why: string): Promise<void>;
}

/**
 * After a run that failed, or found another process at it: what keeps it will be there in the next instant, too. Longer rests
 * are the chore's own. It is no running chore meanwhile: the daemon may park.
 */
const restMs = 60_000;

export function createChoreRunner(deps: {
  readonly chores: readonly Chore[];
  readonly clock: Clock;
  readonly log: Log;
  /** Told when one is over, for whatever reason. */
  readonly onOver: () => void;
}): ChoreRunner {
  const { chores, clock, log, onOver } = deps;
  const halted = new AbortController();
  const running = new Map<Chore['name'], Promise<void>>();
  const notBeforeMs = new Map<Chore['name'], number>();
  /** Runs that are over, and how many of them were known of when it was last asked what is due. */
  const ended = new Map<Chore['name'], number>();
  const askedAfter = new Map<Chore['name'], number>();

  const endedOf = (name: Chore['name']) => ended.get(name) ?? 0;

  async function askOne(chore: Chore, now: Date): Promise<Date | null | 'unknown'> {
    try {
      return await chore.nextAt(now);
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), chore: chore.name }, 'a chore: when it is due is not known');
      return 'unknown';
    }
  }

  async function run(chore: Chore, signal: AbortSignal): Promise<void> {
    const { name } = chore;
    const startedMs = clock.monotonicMs();
    try {
      await chore.run(signal);
      log.info({ chore: name, tookMs: Math.round(clock.monotonicMs() - startedMs) }, 'a chore: done');
    } catch (thrown) {
      if (signal.aborted) {
        log.info({ chore: name, why: errorMessage(signal.reason) }, 'a chore: broken off');
        return;
      }
      notBeforeMs.set(name, clock.monotonicMs() + restMs);
      const error = errorMessage(thrown);
      if (chore.isElsewhere?.(thrown)) {
        log.info({ chore: name, why: error }, 'a chore: another process is at it, it is looked after in a minute');
      } else {
        log.error({ chore: name, error }, 'a chore: failed');
      }
    } finally {
      running.delete(name);
      ended.set(name, endedOf(name) + 1);
      onOver();
    }
  }

  return {
    async due(now) {
      const found: Record<Chore['name'], Date | null | 'unknown'> = { backup: null, snapshot: null };
      // One after the other: a pool of two has other callers.
      for (const chore of chores) {
        askedAfter.set(chore.name, endedOf(chore.name));
        found[chore.name] = await askOne(chore, now);
      }
      return found;
    },
    begin(term, due, now) {
      if (halted.signal.aborted) return;
      const signal = AbortSignal.any([halted.signal, term.over]);
      for (const chore of chores) {
        const at = due[chore.name];
        if (at === null || at === 'unknown' || at > now || running.has(chore.name)) continue;
        // It was due, and is done since: whoever does it twice does it for nothing.
        if (askedAfter.get(chore.name) !== endedOf(chore.name)) continue;
        if (clock.monotonicMs() < (notBeforeMs.get(chore.name) ?? Number.NEGATIVE_INFINITY)) continue;
        // Not before it is entered: what is over at once has to be found there.
        running.set(
          chore.name,
          Promise.resolve().then(() => run(chore, signal)),
        );
      }
    },
    isRunning: () => running.size > 0,
    async halt(why) {
      halted.abort(new Error(why));
      await Promise.all(running.values());
    },
  };
}
