import { syncErasures } from '../backup/erasure-log.ts';
import { carryOutDueErasures } from '../curation/due-erasures.ts';
import type { ForgetDeps } from '../curation/forget.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { createErasureKeeper, type ErasureKeeper, type ErasureKeeperDeps, tellOfErasures } from './erasure-keeper.ts';

export interface OpenErasuresOptions extends ErasureKeeperDeps {
  readonly mode: 'daemon' | 'cli';
  /** Of the start. */
  readonly signal?: AbortSignal | undefined;
}

export interface OpenedErasures {
  /** What to tell of each erasure from now on. */
  readonly onForgotten: NonNullable<ForgetDeps['onForgotten']>;
  /** Undefined in mode `cli`. */
  readonly keeper: ErasureKeeper | undefined;
}

/**
 * Before anybody is answered and before any text goes to a model: erases again what came back, and brings the log beside
 * the backups up to date. A log that cannot be written is no reason not to start: forgetting works, and each backup tries
 * again.
 */
export async function openErasures(options: OpenErasuresOptions): Promise<OpenedErasures> {
  const { db, mode, backupDir: directory, log } = options;
  // Nobody works here yet who could be hinted.
  const { hint: _, ...atStart } = options;
  await carryOutDueErasures(atStart);
  if (mode === 'daemon') {
    await syncErasures(db, directory).catch((thrown: unknown) =>
      log.warn(
        { error: errorMessage(thrown) },
        'the log of what was forgotten is not up to date: what is missing in it would come back with a restore',
      ),
    );
  }
  const onForgotten = tellOfErasures(options, mode);
  return { onForgotten, keeper: mode === 'daemon' ? createErasureKeeper({ ...options, onForgotten }) : undefined };
}
