import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { BackupDamagedError, BackupUnverifiedError } from './backup-errors.ts';
import type { BackupFiles } from './backup-files.ts';
import { markProblem } from './backup-folder.ts';

/** Puts beside the files what was found, for the next listing. One that could not be noted is found again. */
export async function noteDamage(
  deps: { readonly files: BackupFiles; readonly clock: Clock; readonly log: Log },
  folder: string,
  { code, message }: BackupDamagedError | BackupUnverifiedError,
): Promise<void> {
  await markProblem(deps.files, folder, { code, message, foundAt: deps.clock.now() }).catch((thrown) =>
    deps.log.warn({ error: errorMessage(thrown), folder }, 'a damaged backup could not be marked'),
  );
}
