import { type PastReplan, replanAttempts } from '../store/attempts.ts';
import { postponeReplan, type ReplanTarget, selectReplans } from '../store/replan-work.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { asksModelToRewrite, runReplan, shownOf } from './replan.ts';
import type { SliceParts } from './slice-parts.ts';
import { replanSuspicionOf } from './suspects.ts';

const replansAtOnce = 32;
/** An observation that could not be written again is due after this long. */
const pauseMs = 3_600_000;
/** One that killed the process twice on its own. It cannot be parked; once a day is no loop. */
const guiltyPauseMs = 24 * 3_600_000;

/** Writes again what lost evidence, oldest mark first; beside each other where a model is asked. */
export async function replanAll(slice: SliceParts, readsHistory: boolean): Promise<void> {
  const { deps, flights } = slice;
  const { bankId } = slice.options;
  const past = readsHistory && deps.decider.asksModel ? await replanAttempts(deps.db, bankId) : [];
  const seen: string[] = [];
  while (await slice.isReady()) {
    const targets = await selectReplans(deps.db, bankId, { limit: replansAtOnce, inHand: seen });
    if (targets.length === 0) return;
    if (seen.length > 0 && (await slice.yields())) return;
    if (!(await slice.startRun())) return;
    for (const target of targets) {
      // Once a slice: one that keeps losing to others is due again, and must not keep this slice from its memories.
      seen.push(target.id);
      const turn = await slice.takeTurn();
      if (turn === null) return;
      await begin(slice, target, past, turn);
      if (slice.end.outcome !== null) return;
    }
    await flights.untilAllLand();
  }
}

async function begin(
  slice: SliceParts,
  target: ReplanTarget,
  past: readonly PastReplan[],
  turn: () => void,
): Promise<void> {
  const { flights } = slice;
  const suspicion = replanSuspicionOf(shownOf(target, false), past);
  if (suspicion === 'guilty') {
    const work = slice.guarded(() => pause(slice, target, 'its rewriting killed the process twice', guiltyPauseMs));
    flights.add(work.finally(turn), []);
    return;
  }
  const alone = suspicion === 'suspect';
  if (alone) await flights.untilAllLand();
  flights.add(replan(slice, target, alone).finally(turn), []);
  // Only a model is worth waiting for beside another: else the oldest mark goes first (law L18).
  if (alone || !asksModelToRewrite(slice.deps, target)) await flights.untilAllLand();
}

function replan(slice: SliceParts, target: ReplanTarget, alone: boolean): Promise<void> {
  const { deps, end, runId, tally } = slice;
  const { bankId, signal } = slice.options;
  return slice.guarded(async () => {
    try {
      const report = await runReplan(deps, { bankId, runId, target, alone, signal });
      tally.addReplan(report);
      if (report.bankGone) end.bankGone();
    } catch (thrown) {
      if (signal.aborted || end.absorb(thrown)) return;
      // Told all the same: a model that can rewrite nothing is to be found out (law L8).
      await deps.decider.blames(thrown, target.id);
      await pause(slice, target, errorMessage(thrown), pauseMs);
    }
  });
}

/** Left to a later run: due at once it would be all that the bank's slices ever did. */
async function pause(
  { deps, options }: SliceParts,
  target: ReplanTarget,
  error: string,
  restMs: number,
): Promise<void> {
  deps.log.error({ error, observationId: target.id, restMs }, 'an observation could not be written again');
  await postponeReplan(deps.db, options.bankId, { id: target.id, version: target.version, restMs });
}
