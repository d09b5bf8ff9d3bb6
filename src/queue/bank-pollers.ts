import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Database } from '../db/database.ts';
import type { SignificanceEngine } from '../significance/significance.ts';
import { dueWorkOf } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { bankWorkOf } from './bank-work.ts';
import type { Boss } from './boss.ts';
import type { Claim } from './claim.ts';
import { createConsolidateHandler } from './consolidate-handler.ts';
import { createEmbedHandler, type EmbedPending } from './embed-handler.ts';
import { jobWaits } from './job-rows.ts';
import { createPoller, type Poller } from './poller.ts';
import { type BankQueueName, consolidateQueue, embedQueue, scoreQueue } from './queues.ts';
import { createScoreHandler } from './score-handler.ts';
import { settleJob } from './settle.ts';

export type BankPollers = Readonly<Record<BankQueueName, Poller>>;

export interface BankPollersDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly engine: Pick<ConsolidationEngine, 'runSlice'>;
  readonly embedPending: EmbedPending;
  readonly significance: Pick<SignificanceEngine, 'scoreBatch'>;
  /** False: what is in hand comes to an end, as where another bank waits. */
  readonly isHandingOut: (queue: BankQueueName) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
}

/** A slice costs some ten statements to begin; one that made room sooner than this would do more harm than good. */
const shortestSliceMs = 2000;
const lookEveryMs = 1000;

/** A poller for each queue, with its handler. */
export function createBankPollers(deps: BankPollersDeps): BankPollers {
  const { clock } = deps;
  const isClosed = (queue: BankQueueName) => !deps.isHandingOut(queue);

  /** Of one job: whether it has to make room. */
  function makesRoom(poller: () => Poller, queue: BankQueueName, keptWaiting: () => Promise<boolean>) {
    const startedMs = clock.monotonicMs();
    return async () =>
      isClosed(queue) ||
      // With a slot free the poller takes what waits, and nobody has to make room.
      (clock.monotonicMs() - startedMs >= shortestSliceMs && !poller().hasFreeSlot() && (await keptWaiting()));
  }

  const slicesWait = createJobWaits(deps, 'consolidate');
  const consolidate: Poller = createPoller({
    ...deps,
    queue: consolidateQueue,
    handle: (claim) => {
      const anotherBankWaits = makesRoom(() => consolidate, 'consolidate', slicesWait);
      return createConsolidateHandler({ ...deps, anotherBankWaits })(claim);
    },
    handBack: (claim) => handBack(deps, claim),
  });

  const embed = createPoller({
    ...deps,
    queue: embedQueue,
    handle: createEmbedHandler({ ...deps, anotherBankWaits: async () => isClosed('embed') }),
    handBack: (claim) => handBack(deps, claim),
  });

  const scoresWait = createJobWaits(deps, 'score');
  const score: Poller = createPoller({
    ...deps,
    queue: scoreQueue,
    handle: (claim) => {
      const anotherBankWaits = makesRoom(() => score, 'score', scoresWait);
      return createScoreHandler({ ...deps, anotherBankWaits })(claim);
    },
    handBack: (claim) => handBack(deps, claim),
  });

  return { consolidate, embed, score };
}

/** Whether a job of the queue has nobody; one look a second for all that are at work. */
function createJobWaits({ db, clock }: BankPollersDeps, queue: BankQueueName): () => Promise<boolean> {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let looked: Promise<boolean> = Promise.resolve(false);
  return () => {
    if (clock.monotonicMs() - lookedMs >= lookEveryMs) {
      lookedMs = clock.monotonicMs();
      looked = jobWaits(db, queue);
    }
    return looked;
  };
}

/** Ends a job for a handler that does not: somebody else may go on at once, and no retry is burned. */
async function handBack(deps: { readonly db: Database; readonly boss: Boss }, claim: Claim): Promise<void> {
  await settleJob({ db: deps.db, boss: deps.boss }, claim, {
    output: { outcome: 'handed_back' },
    worked: false,
    next: async (tx) => {
      const work = await dueWorkOf(tx, claim.payload.bankId, 1);
      return work && bankWorkOf(claim.queue, work) && { at: work.now, trigger: 'successor' };
    },
  });
}
