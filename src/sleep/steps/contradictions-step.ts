import type { ConsolidationEngine } from '../../consolidation/engine.ts';
import type { Database } from '../../db/database.ts';
import { nextChangedBank } from '../../store/changed-banks.ts';
import { readChangeMark } from '../../store/changed-observations.ts';
import type { JsonValue, SleepStep, StepContext, StepEnd } from '../step.ts';

/** Of a bank in one turn: a bank with a year of changes does not keep the others waiting all night. */
const pairsATurn = 64;

interface ContradictionsDeps {
  readonly db: Database;
  readonly engine: Pick<ConsolidationEngine, 'findContradictions'>;
}

/** How far the night is. How far each bank is stands in its own mark, which outlives the night. */
interface Checkpoint {
  /** Turns go round in order of the banks' names; this one had its turn last. */
  readonly after: string;
  /** Whether a bank of this round has more to look at. */
  readonly more: boolean;
  readonly pairs: number;
  readonly conflicts: number;
  /** Where the bank at hand had come to when it was interrupted: that it comes further is seen by this. */
  readonly place: string | null;
}

const atTheStart: Checkpoint = { after: '', more: false, pairs: 0, conflicts: 0, place: null };

/**
 * Lists observations that cannot both hold, among what changed since the last search, bank by bank in turns. The budget
 * of the day bounds it: where that is spent, or the endpoint fails, the marks say where another night goes on.
 */
export function createContradictionsStep({ db, engine }: ContradictionsDeps): SleepStep {
  async function place(bankId: string): Promise<string | null> {
    const mark = await readChangeMark(db, 'contradiction_marks', bankId);
    return mark?.seen ? `${bankId} ${mark.seen.xid} ${mark.seen.id}` : null;
  }

  async function run({ signal, checkpoint, save, progress }: StepContext): Promise<StepEnd> {
    let now = readCheckpoint(checkpoint);
    for (;;) {
      if (signal.aborted) return { kind: 'deferred' };
      // Read anew for each turn: a bank that was deleted, or was at its end, is not there any more.
      const bankId = await nextChangedBank(db, 'contradiction_marks', { after: now.after });
      if (bankId === null) {
        if (!now.more) return { kind: 'done', ...noteOf(now) };
        now = { ...now, after: '', more: false };
        continue;
      }
      const report = await engine.findContradictions({ bankId, signal, limit: pairsATurn });
      now = { ...now, pairs: now.pairs + report.pairs, conflicts: now.conflicts + report.conflicts };
      progress(now.pairs, null, noteOf(now).note);
      if (signal.aborted && report.outcome === 'deferred') {
        await save({ ...now, place: await place(bankId) });
        return { kind: 'deferred' };
      }
      if (report.retryAt !== null) {
        return { kind: 'done', note: `${noteOf(now).note ?? 'no pair compared'}; the rest waits for the model` };
      }
      now = { ...now, after: bankId, more: now.more || report.outcome === 'deferred', place: null };
      await save({ ...now });
    }
  }

  return { name: 'contradictions', run };
}

function noteOf({ pairs, conflicts }: Checkpoint): { readonly note?: string } {
  return pairs === 0 ? {} : { note: `${pairs} pairs compared, ${conflicts} conflicts found` };
}

function readCheckpoint(value: JsonValue): Checkpoint {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return atTheStart;
  return { ...atTheStart, ...value };
}
