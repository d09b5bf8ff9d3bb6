import { existsSync } from 'node:fs';
import { noteErasure, syncErasures } from '../backup/erasure-log.ts';
import { carryOutDueErasures, type DueErasuresDeps } from '../curation/due-erasures.ts';
import type { ForgetDeps } from '../curation/forget.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';

export interface OpenErasuresOptions extends DueErasuresDeps {
  readonly mode: 'daemon' | 'cli';
  readonly backupDir: string;
}

/**
 * Before anybody is answered and before any text goes to a model: erases again what came back, and brings the log beside
 * the backups up to date. A log that cannot be written is no reason not to start: forgetting works, and each backup tries
 * again.
 *
 * @returns what to tell of each erasure from now on
 */
export async function openErasures(options: OpenErasuresOptions): Promise<NonNullable<ForgetDeps['onForgotten']>> {
  const { db, mode, backupDir: directory, log } = options;
  await carryOutDueErasures(options);
  if (mode === 'daemon') {
    await syncErasures(db, directory).catch((thrown: unknown) =>
      log.warn(
        { error: errorMessage(thrown) },
        'the log of what was forgotten is not up to date: what is missing in it would come back with a restore',
      ),
    );
  }
  return async (erased) => {
    // A command may run as anybody, beside a daemon: where there are no backups it makes no place for them.
    if (mode === 'cli' && !existsSync(directory)) return;
    await noteErasure({ db, directory, log }, erased);
  };
}
