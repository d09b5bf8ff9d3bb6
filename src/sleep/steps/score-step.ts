import { z } from 'zod';
import type { Database } from '../../db/database.ts';
import { scoresSince } from '../../store/score-counts.ts';
import type { Workable } from '../drain-port.ts';
import type { SleepStep, StepEnd } from '../step.ts';
import { WorkOff, type WorkOffDeps } from '../work-off.ts';

interface ScoreDeps extends WorkOffDeps {
  readonly db: Database;
  /** Lets automatic pins beyond the cap of their bank go; resolves with how many. */
  readonly keepPinCaps: (signal: AbortSignal) => Promise<number>;
}

/** Since when the step is at it, by the database's clock, over all its interruptions. */
const checkpointSchema = z.object({ since: z.iso.datetime() });

/**
 * Scores what is left, over all banks, by the jobs of the queue: a bank is in one pair of hands, so that nothing is asked
 * twice. Where the scorer cannot be asked, the rest waits for another night or for the morning. Caps of pins are kept in
 * every bank, also where nothing was to be scored.
 */
export function createScoreStep(deps: ScoreDeps): SleepStep {
  return {
    name: 'score',
    async run(context): Promise<StepEnd> {
      const kept = checkpointSchema.safeParse(context.checkpoint).data;
      const since = kept?.since ?? (await deps.databaseNow()).toISOString();
      const plan = {
        queues: ['score'],
        ask: (bankId: string) => deps.queue.requestScores(bankId),
        depthOf: ({ scores }: Workable) => scores,
        keeps: { since },
      } as const;
      const end = await new WorkOff(deps, plan, context).run();
      if (end.kind === 'deferred') return end;
      const released = await deps.keepPinCaps(context.signal);
      if (context.signal.aborted) return { kind: 'deferred' };
      const { scored, pinned } = await scoresSince(deps.db, new Date(since));
      const parts = [
        ...(scored > 0 ? [`${scored} scored${pinned > 0 ? `, ${pinned} pinned` : ''}`] : []),
        ...(released > 0 ? [`${released === 1 ? '1 pin' : `${released} pins`} over the cap let go`] : []),
        ...rest(end.kind === 'out_of_time', end.left),
      ];
      return parts.length === 0 ? { kind: 'done' } : { kind: 'done', note: parts.join('; ') };
    },
  };
}

function rest(isOutOfTime: boolean, { scores, heldBy }: Workable): string[] {
  if (isOutOfTime) return [`ten minutes were not enough: ${scores} memories wait for their score`];
  return heldBy === null ? [] : [`the rest waits: ${heldBy}`];
}
