import { cycleTotals, hasOpenCycle, latestCycle, stepFailures } from '../store/sleep-history.ts';
import type { CycleHistory, QuarantineView, StepView } from './cycle-view.ts';
import { CycleRunningError } from './errors.ts';
import { type CycleDeps, type CycleMemory, CycleRun } from './run-cycle.ts';
import type { SleepCycle } from './sleep-cycle.ts';
import { isSleepStepName } from './step.ts';

/** The door of the room. */
export function createSleepCycle(deps: CycleDeps): SleepCycle {
  const { db, metrics } = deps;
  const memory: CycleMemory = { current: null, stray: null, owed: null, rests: new Map() };
  let isRunning = false;

  async function history(): Promise<CycleHistory> {
    const { bornAt, ...totals } = await cycleTotals(db);
    metrics.cyclesStarted.set(totals.started);
    metrics.cyclesCompleted.set(totals.completed);
    metrics.lastCleanCycle.set((totals.lastCleanAt ?? bornAt).getTime() / 1000);
    return totals;
  }

  async function quarantine(): Promise<readonly QuarantineView[]> {
    const failures = await stepFailures(db);
    for (const { name } of deps.steps) {
      const isLeftAlone = failures.some(({ step, until }) => step === name && until !== null);
      metrics.quarantined.set({ step: name }, isLeftAlone ? 1 : 0);
    }
    // What another build knows is its own affair.
    return failures.flatMap(({ step, ...rest }) => (isSleepStepName(step) ? [{ step, ...rest }] : []));
  }

  return {
    async run(request) {
      if (isRunning) throw new CycleRunningError();
      isRunning = true;
      try {
        const end = await new CycleRun(deps, memory, request).run();
        // Whoever interrupts waits for this to return.
        if (end.kind === 'finished') {
          await history();
          await quarantine();
        }
        return end;
      } finally {
        memory.current = null;
        isRunning = false;
      }
    },

    isRunning: () => isRunning,

    async latest() {
      const cycle = await latestCycle(db);
      if (!cycle) return null;
      const { current } = memory;
      const steps = cycle.steps.flatMap(({ name, ...step }): StepView[] => {
        if (!isSleepStepName(name)) return [];
        const isAtHand = current?.cycleId === cycle.id && current.step === name && step.status === 'running';
        return [{ name, ...step, ...(isAtHand && current.progress.done !== null && current.progress) }];
      });
      return { ...cycle, isRunning: isRunning && cycle.finishedAt === null, steps };
    },

    quarantine,
    history,
    hasOpen: () => hasOpenCycle(db),
  };
}
