import type { Workable } from '../drain-port.ts';
import type { SleepStep, StepEnd } from '../step.ts';
import { WorkOff, type WorkOffDeps } from '../work-off.ts';

/** Decides and embeds what is due, over all banks. */
export function createDrainStep(deps: WorkOffDeps): SleepStep {
  const plan = {
    // Scores have a step of their own.
    queues: ['consolidate', 'embed'],
    ask: (bankId: string) => deps.queue.requestConsolidation(bankId),
    depthOf: ({ rows }: Workable) => rows,
    keeps: {},
  } as const;
  return {
    name: 'drain',
    async run(context): Promise<StepEnd> {
      const end = await new WorkOff(deps, plan, context).run();
      switch (end.kind) {
        case 'over':
          return done(end.left, end.workedOff);
        case 'out_of_time':
          return { kind: 'done', note: `ten minutes were not enough: ${end.left.rows} rows are left` };
        case 'deferred':
          return end;
        default:
          return end satisfies never;
      }
    },
  };
}

function done({ heldBy }: Workable, workedOff: number): StepEnd {
  const worked = workedOff > 0 ? `${workedOff} rows worked off` : null;
  if (heldBy === null) return worked === null ? { kind: 'done' } : { kind: 'done', note: worked };
  const held = `nothing workable is left: ${heldBy}`;
  return { kind: 'done', note: worked === null ? held : `${worked}; ${held}` };
}
