import { z } from 'zod';
import type { ConsolidationEngine } from '../../consolidation/engine.ts';
import type { Database } from '../../db/database.ts';
import { nextChangedBank } from '../../store/changed-banks.ts';
import { readChangeMark } from '../../store/changed-observations.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { SleepStep, StepContext, StepEnd } from '../step.ts';

/** Of a bank in one turn: a bank with a year of changes does not keep the others waiting all night. */
const pairsATurn = 64;

/** Banks one after the other that fail: it is not the banks. */
const mostFailuresInARow = 3;

interface Failures {
  first: { readonly thrown: unknown } | null;
  inARow: number;
}

interface ContradictionsDeps {
  readonly db: Database;
  readonly log: Log;
  readonly engine: Pick<ConsolidationEngine, 'findContradictions'>;
}

/** How far the night is. How far each bank is stands in its own mark, which outlives the night. */
const checkpointSchema = z.strictObject({
  /** Turns go round in order of the banks' names; this one had its turn last. */
  after: z.string(),
  /** Whether a bank of this round has more to look at. */
  more: z.boolean(),
  pairs: z.int(),
  conflicts: z.int(),
  /** Where the bank at hand had come to when it was interrupted: that it comes further is seen by this. */
  place: z.string().nullable(),
});
type Checkpoint = z.output<typeof checkpointSchema>;

const atTheStart: Checkpoint = { after: '', more: false, pairs: 0, conflicts: 0, place: null };

/**
 * Lists observations that cannot both hold, among what changed since the last search, bank by bank in turns. The budget
 * of the day bounds it: where that is spent, or the endpoint fails, the marks say where another night goes on. A bank that
 * fails does not keep the others from their turn; the step fails when they had it.
 */
export function createContradictionsStep({ db, engine, log }: ContradictionsDeps): SleepStep {
  async function place(bankId: string): Promise<string | null> {
    const mark = await readChangeMark(db, 'contradiction_marks', bankId);
    return mark?.seen ? `${bankId} ${mark.seen.xid} ${mark.seen.id}` : null;
  }

  /** Null: it failed, and the failure is kept for the end. */
  async function compare(bankId: string, signal: AbortSignal, failures: Failures) {
    try {
      const report = await engine.findContradictions({ bankId, signal, limit: pairsATurn });
      failures.inARow = 0;
      return report;
    } catch (thrown) {
      log.warn({ bankId, error: errorMessage(thrown) }, 'the search for contradictions failed in a bank');
      failures.first ??= { thrown };
      failures.inARow += 1;
      return null;
    }
  }

  async function run({ signal, checkpoint, save, progress }: StepContext): Promise<StepEnd> {
    // One of another build: from the beginning, which the marks make short.
    let now = checkpointSchema.safeParse(checkpoint).data ?? atTheStart;
    const failures: Failures = { first: null, inARow: 0 };
    for (;;) {
      if (signal.aborted) return { kind: 'deferred' };
      // Read anew for each turn: a bank that was deleted, or is at its end, is not there any more.
      const bankId =
        failures.inARow < mostFailuresInARow
          ? await nextChangedBank(db, 'contradiction_marks', { after: now.after })
          : null;
      if (bankId === null) {
        // The banks that failed would be first again.
        if (failures.first !== null) throw failures.first.thrown;
        if (!now.more) return { kind: 'done', ...noteOf(now) };
        now = { ...now, after: '', more: false };
        continue;
      }
      const report = await compare(bankId, signal, failures);
      if (report === null) {
        now = { ...now, after: bankId };
        continue;
      }
      now = { ...now, pairs: now.pairs + report.pairs, conflicts: now.conflicts + report.conflicts };
      progress(now.pairs, null, noteOf(now).note);
      if (signal.aborted && report.outcome === 'deferred') {
        await save({ ...now, place: await place(bankId) });
        return { kind: 'deferred' };
      }
      if (report.retryAt !== null) {
        const { note = 'no pair compared' } = noteOf(now);
        return {
          kind: 'done',
          note: `${note}; the rest waits: the model can be asked at ${report.retryAt.toISOString()}`,
        };
      }
      now = { ...now, after: bankId, more: now.more || report.outcome === 'deferred', place: null };
      await save(now);
    }
  }

  return { name: 'contradictions', run };
}

function noteOf({ pairs, conflicts }: Checkpoint): { readonly note?: string } {
  return pairs === 0 ? {} : { note: `${pairs} pairs compared, ${conflicts} conflicts found` };
}
