import { answeredScores, countDueScores, type DueScore, dueScoresOf, selectDueScores } from '../store/scores.ts';
import type { SignificanceDeps } from './dependencies.ts';
import type { SignificanceEngine } from './significance.ts';
import { type AnsweredMemory, type WrittenScores, writeScores } from './write-scores.ts';

export type { SignificanceDeps } from './dependencies.ts';

const countedUpTo = 1_000;

/** The door of the room. Any number of them may work on one bank, in any number of processes. */
export function createSignificanceEngine(deps: SignificanceDeps): SignificanceEngine {
  const { db, scorer, racepoints } = deps;
  return {
    readyAt: () => scorer.readyAt(),
    async scoreBatch(bankId, { signal }) {
      signal.throwIfAborted();
      const memories = await nextBatch(deps, bankId);
      if (memories.length === 0) return { scored: 0, remaining: 0 };
      const answers = await scorer.score(bankId, memories, { signal });
      const answered = memories.map(
        (memory, index): AnsweredMemory => ({
          memory,
          answer: answers[index] ?? { kind: 'refused', why: 'no answer for it' },
        }),
      );
      await racepoints.reach('score:called', { bankId, memoryIds: memories.map(({ id }) => id) });
      const written = await db.tx({ label: 'score' }, (tx) => writeScores(tx, deps, bankId, answered));
      if (written === null) return { scored: 0, remaining: 0 };
      report(deps, written);
      return { scored: written.waitedSeconds.length, remaining: await countDueScores(db, bankId, countedUpTo) };
    },
  };
}

/**
 * What is due longest. A batch whose answer is paid for comes first and just as it was: a crash between answer and write
 * costs nothing then (law L19).
 */
async function nextBatch({ db, scorer }: SignificanceDeps, bankId: string): Promise<readonly DueScore[]> {
  const due = await selectDueScores(db, bankId, scorer.batchSize);
  if (scorer.name === 'rules' || due.length === 0) return due;
  const answered = await answeredScores(
    db,
    bankId,
    due.map(({ id }) => id),
  );
  for (const ids of answered) {
    const byId = new Map((await dueScoresOf(db, bankId, ids)).map((memory) => [memory.id, memory]));
    const batch = ids.flatMap((id) => byId.get(id) ?? []);
    if (batch.length === ids.length) return batch;
  }
  return due;
}

function report({ log, metrics }: SignificanceDeps, written: WrittenScores): void {
  for (const waited of written.waitedSeconds) metrics.scoreWaitSeconds.observe(waited);
  metrics.scores.inc({ outcome: 'scored' }, written.waitedSeconds.length);
  metrics.scores.inc({ outcome: 'refused' }, written.refused - written.parked);
  metrics.scores.inc({ outcome: 'missed' }, written.postponed);
  metrics.scores.inc({ outcome: 'parked' }, written.parked);
  metrics.scores.inc({ outcome: 'stale' }, written.stale);
  metrics.pinsEvicted.inc(written.evicted);
  if (written.parked > 0) {
    log.warn({ memories: written.parked }, 'scores given up; `engramd jobs retry` brings them back');
  }
}
