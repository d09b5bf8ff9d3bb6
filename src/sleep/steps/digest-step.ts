import type { Database } from '../../db/database.ts';
import { type DigestCounts, makeDigest } from '../../store/digests.ts';
import type { SleepStep } from '../step.ts';

/** Counts what the night came to, once a cycle; what it says is written when somebody reads it. */
export function createDigestStep(deps: { readonly db: Database; readonly newId: () => string }): SleepStep {
  return {
    name: 'digest',
    async run({ cycleId, signal, save }) {
      if (signal.aborted) return { kind: 'deferred' };
      // The leader's fence: a night is not cut off by who leads no more.
      await save({});
      const { counts } = await makeDigest(deps.db, { id: deps.newId(), cycleId });
      return { kind: 'done', note: noteOf(counts) };
    },
  };
}

function noteOf(counts: DigestCounts): string {
  const { added, superseded, folded, refused, conflicts, proposed, parked, scored, pinned, evicted } = counts;
  const told = { added, superseded, folded, refused, conflicts, proposed, parked, scored, pinned, evicted };
  const parts = Object.entries(told)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`);
  return parts.length === 0 ? 'nothing changed' : parts.join(', ');
}
