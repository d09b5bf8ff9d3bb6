import { EmbeddingModelMovedError } from '../models/embeddings/embedding-errors.ts';
import { dropErasureDue, selectErasuresDue } from '../store/erasures-due.ts';
import type { Log } from '../telemetry/log.ts';
import { type ForgetDeps, forget } from './forget.ts';
import { CurationContendedError } from './refusals.ts';

export interface DueErasuresDeps extends Omit<ForgetDeps, 'hint'> {
  /** Default: nobody listens yet, and whoever starts looks at every bank. */
  readonly hint?: ForgetDeps['hint'];
  readonly log: Log;
  readonly signal?: AbortSignal | undefined;
}

const chunkSize = 500;
/** Vectors of another model that are being put in place take seconds. */
const tries = 30;
const pauseMs = 2000;

/**
 * Erases again what was forgotten and came back with a restore or an import. Before anybody is answered. Each row goes
 * after what it asks for, so that whoever dies between them is followed by one who does it once more.
 *
 * @returns how many memories had come back
 * @throws what kept a memory from being erased: who cannot erase must not serve
 */
export async function carryOutDueErasures(deps: DueErasuresDeps): Promise<number> {
  const { db, log } = deps;
  let erased = 0;
  for (;;) {
    const due = await selectErasuresDue(db, chunkSize);
    if (due.length === 0) break;
    for (const { bankId, memoryId } of due) {
      // More than once where somebody brings it back meanwhile.
      for (;;) {
        if (await forgetAgain(deps, bankId, memoryId)) erased += 1;
        if (await db.tx({ label: 'erasure carried out' }, (tx) => dropErasureDue(tx, bankId, memoryId))) break;
      }
    }
  }
  if (erased > 0) log.info({ erased }, 'erased again what had been forgotten');
  return erased;
}

/** @returns whether it was there */
async function forgetAgain(deps: DueErasuresDeps, bankId: string, memoryId: string): Promise<boolean> {
  const { clock, log } = deps;
  const signal = deps.signal ?? new AbortController().signal;
  for (let failures = 1; ; failures += 1) {
    try {
      return (
        (await forget({ ...deps, hint: deps.hint ?? nobody }, { bankId, memoryId, signal, evenIfGone: true })) !== null
      );
    } catch (thrown) {
      const passes = thrown instanceof EmbeddingModelMovedError || thrown instanceof CurationContendedError;
      if (!passes || failures >= tries) throw thrown;
      log.warn({ bankId, memoryId, error: thrown.message }, 'a memory cannot be erased again yet');
      await clock.sleep(pauseMs, signal);
    }
  }
}

const nobody = async () => undefined;
