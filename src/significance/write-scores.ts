import { restMs } from '../consolidation/back-off.ts';
import type { Tx } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { insertEvents, type TimelineEvent } from '../store/apply-writes.ts';
import { markWriter } from '../store/memories.ts';
import { savePins } from '../store/pins.ts';
import { type DueScore, type LockedForScore, lockWithPins, saveRests, saveScores } from '../store/scores.ts';
import { decidePins } from './decide-pins.ts';
import type { SignificanceDeps } from './dependencies.ts';
import { isSignificance, type ScoreAnswer, type Significance } from './scorer.ts';

export interface AnsweredMemory {
  readonly memory: DueScore;
  readonly answer: ScoreAnswer;
}

/** What became of each answer, by the length of its wait where it is a score. */
export interface WrittenScores {
  readonly waitedSeconds: readonly number[];
  readonly refused: number;
  readonly parked: number;
  readonly postponed: number;
  /** The memory went, changed or was scored by somebody else meanwhile. */
  readonly stale: number;
  readonly evicted: number;
}

/** Of what nobody is to blame for yet. */
const longestUncountedMs = 3_600_000;

/**
 * Writes scores, pins, evictions and events under the bank's lock, or nothing (DESIGN §8). Once for each memory and
 * version, whoever else has the same answers. Null where the bank is gone.
 */
export async function writeScores(
  tx: Tx,
  deps: SignificanceDeps,
  bankId: string,
  answered: readonly AnsweredMemory[],
): Promise<WrittenScores | null> {
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'exclusive'))) return null;
  const rows = await lockWithPins(
    tx,
    bankId,
    answered.map(({ memory }) => memory.id),
  );

  const scored: { row: LockedForScore; significance: Significance; entities: readonly string[] }[] = [];
  const rests: { id: string; attempts: number; restMs: number | null; parked: string | null }[] = [];
  let [refused, postponed, stale] = [0, 0, 0];
  for (const { memory, answer } of answered) {
    const row = rows.get(memory.id);
    const isDue = row?.isValid && row.version === memory.version && row.scoredVersion !== row.version ? row : undefined;
    // Somebody else's refusal has been counted: two workers with one answer count it once.
    if (!isDue || (answer.kind !== 'scored' && isDue.attempts !== memory.attempts)) {
      stale += 1;
      continue;
    }
    switch (answer.kind) {
      case 'scored':
        // Whatever the scorer is, nothing else gets into the store.
        if (isSignificance(answer.significance)) scored.push({ row: isDue, ...answer });
        else {
          refused += 1;
          rests.push(refusal(deps, isDue, `a score of ${String(answer.significance)}`));
        }
        break;
      case 'refused':
        refused += 1;
        rests.push(refusal(deps, isDue, answer.why));
        break;
      case 'postponed':
        postponed += 1;
        rests.push({
          id: isDue.id,
          attempts: isDue.attempts,
          restMs: longestUncountedMs * (0.5 + deps.random() / 2),
          parked: null,
        });
        break;
      default:
        answer satisfies never;
    }
  }

  const pins = decidePins(
    [...rows.values()].filter((row) => row.isValid && row.pin !== null),
    scored.map(({ row, significance }) => ({ memory: row, significance })),
    deps.pinCap,
  );
  const evictedIds = new Set(pins.evicted.map(({ id }) => id));
  await saveScores(
    tx,
    bankId,
    scored.map(({ row, significance }) => ({ id: row.id, significance })),
  );
  await savePins(tx, bankId, [
    ...[...pins.lost, ...evictedIds].filter((id) => rows.get(id)?.pin === 'auto').map((id) => ({ id, pin: null })),
    ...pins.pinned.filter((id) => !evictedIds.has(id)).map((id) => ({ id, pin: 'auto' as const })),
  ]);
  await saveRests(tx, bankId, rests);
  await insertEvents(tx, bankId, [
    ...scored.map(({ row, significance, entities }) =>
      event('memory.scored', row.id, { score: significance, by: deps.scorer.scoredBy, entities }),
    ),
    ...rests.flatMap(({ id, parked }) =>
      parked === null ? [] : [event('memory.score_parked', id, { reason: parked })],
    ),
    ...pins.lost.map((id) => event('memory.unpinned', id, { pin: 'auto' })),
    ...pins.pinned.flatMap((newer) => [
      event('memory.pinned', newer, { pin: 'auto' }),
      ...pins.evicted.filter((one) => one.for === newer).map(({ id }) => event('memory.evicted', id, { for: newer })),
    ]),
    ...pins.evicted.filter((one) => one.for === null).map(({ id }) => event('memory.evicted', id, {})),
  ]);
  await deps.racepoints.reach('score:before-commit', { bankId, memoryIds: scored.map(({ row }) => row.id) });
  return {
    waitedSeconds: scored.map(({ row }) => row.waitedSeconds),
    refused,
    parked: rests.filter(({ parked }) => parked !== null).length,
    postponed,
    stale,
    evicted: pins.evicted.length,
  };
}

const mostReasonCharacters = 200;

/** One attempt more, and after enough of them a person (law L5). */
function refusal(deps: SignificanceDeps, row: LockedForScore, why: string) {
  const rest = restMs(row.attempts, deps.random());
  return {
    id: row.id,
    attempts: row.attempts + 1,
    restMs: rest,
    parked: rest === null ? why.slice(0, mostReasonCharacters).toWellFormed() : null,
  };
}

export function event(
  kind: 'memory.scored' | 'memory.score_parked' | 'memory.pinned' | 'memory.unpinned' | 'memory.evicted',
  memoryId: string,
  detail: Readonly<Record<string, unknown>>,
): TimelineEvent {
  return { kind, memoryId, observationId: null, changeSetId: null, detail };
}
