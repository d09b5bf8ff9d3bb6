import type { SleepCycle } from '../../sleep/sleep-cycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Term } from './leadership.ts';

export type CycleTrigger = 'idle' | 'forced' | 'starved';

/** Runs the sleep cycle beside the tick loop, and ends it when somebody comes. */
export interface CycleConductor {
  /** Begins one, or goes on with the open one, unless one runs. `ready` resolves when nothing else is at work. */
  begin(request: {
    readonly term: Term;
    readonly trigger: CycleTrigger;
    readonly ready: (signal: AbortSignal) => Promise<boolean>;
  }): void;
  isRunning(): boolean;
  /** Somebody came. A starved cycle goes on: it runs in slices beside people's work, since it never got its turn. */
  interrupt(why: string): void;
  /** Ends it, starved or not: a pause, or a stop. */
  halt(why: string): Promise<void>;
}

/** People's requests have the rest of each turn. */
const sliceMs = 2000;
/** After a run that came to nothing: one that cannot go on is not begun anew with each tick. */
const restMs = 60_000;

export function createCycleConductor(deps: {
  readonly cycle: SleepCycle;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told when it is over, for whatever reason. */
  readonly onOver: () => void;
}): CycleConductor {
  const { cycle, clock, log, metrics } = deps;
  let running:
    | { readonly controller: AbortController; readonly trigger: CycleTrigger; over: Promise<void> }
    | undefined;
  let interruptedMs: number | undefined;
  let notBeforeMs = Number.NEGATIVE_INFINITY;

  async function run(
    { term, trigger, ready }: Parameters<CycleConductor['begin']>[0],
    controller: AbortController,
  ): Promise<void> {
    const signal = AbortSignal.any([controller.signal, term.over]);
    try {
      // Never under a running drain: what was handed out has come back before the first step.
      if (!(await ready(signal)) || signal.aborted) return;
      const end = await cycle.run({ fence: term.fence, trigger, signal, ...(trigger === 'starved' && { sliceMs }) });
      log.info({ trigger, end }, 'sleep cycle: over for now');
      // Nobody ended it and it did not end: what keeps it will be there in the next instant, too.
      if (end.kind !== 'finished' && !signal.aborted) notBeforeMs = clock.monotonicMs() + restMs;
    } catch (thrown) {
      log.error({ error: errorMessage(thrown), trigger }, 'sleep cycle: failed');
      notBeforeMs = clock.monotonicMs() + restMs;
    } finally {
      if (interruptedMs !== undefined) metrics.interruptSeconds.observe((clock.monotonicMs() - interruptedMs) / 1000);
      interruptedMs = undefined;
      running = undefined;
      deps.onOver();
    }
  }

  function end(why: string): void {
    if (!running || running.controller.signal.aborted) return;
    interruptedMs = clock.monotonicMs();
    running.controller.abort(new Error(why));
  }

  return {
    begin(request) {
      // Who forces a sleep wants all of a night: it takes the place of one that is past its drain, or spares a step.
      if (running && request.trigger === 'forced' && running.trigger !== 'forced')
        end('a forced cycle takes its place');
      if (running || clock.monotonicMs() < notBeforeMs) return;
      const controller = new AbortController();
      running = { controller, trigger: request.trigger, over: Promise.resolve() };
      running.over = run(request, controller);
    },
    isRunning: () => running !== undefined,
    interrupt(why) {
      if (running?.trigger !== 'starved') end(why);
    },
    async halt(why) {
      const { over } = running ?? {};
      end(why);
      await over;
    },
  };
}
