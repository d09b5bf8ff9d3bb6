import { existsSync } from 'node:fs';
import { z } from 'zod';
import { noteErasure, syncErasures } from '../backup/erasure-log.ts';
import { carryOutDueErasures, type DueErasuresDeps } from '../curation/due-erasures.ts';
import type { ForgetDeps } from '../curation/forget.ts';
import { notifyOfErasure, selectErasuresDue } from '../store/erasures-due.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { ParkedPart } from './life/parking.ts';

export interface ErasureKeeperDeps extends Omit<DueErasuresDeps, 'signal'> {
  readonly backupDir: string;
}

type OnForgotten = NonNullable<ForgetDeps['onForgotten']>;

/** What to tell of each erasure of this process: it goes to the log here, and to whoever keeps one elsewhere. */
export function tellOfErasures(
  deps: Pick<ErasureKeeperDeps, 'db' | 'backupDir' | 'instanceId' | 'log'>,
  mode: 'daemon' | 'cli',
): OnForgotten {
  const { db, instanceId, backupDir: directory, log } = deps;
  return async ({ bankId, memoryId }) => {
    // A command may run as anybody, beside a daemon: where there are no backups it makes no place for them.
    if (mode === 'daemon' || existsSync(directory)) await noteErasure({ db, directory, log }, { bankId, memoryId });
    await notifyOfErasure(db, [instanceId, bankId, memoryId]).catch((thrown: unknown) =>
      log.warn(
        { bankId, memoryId, error: errorMessage(thrown) },
        'daemons elsewhere learn of an erasure within the hour',
      ),
    );
  };
}

/** What a daemon does about erasures of others for as long as it runs. */
export interface ErasureKeeper {
  /**
   * Erases what is due and brings the log up to date; one at a time, and never twice where once will do.
   *
   * @throws what kept it from either
   */
  catchUp(): Promise<void>;
  /** A notification of the database. */
  heard(channel: string, payload: string): void;
  /** For a process that may have missed a notification. */
  missed(): void;
  /** Parked, it asks the database for nothing, whatever it hears; on its way up it catches up. */
  readonly part: ParkedPart;
  stop(): Promise<void>;
}

/** From which process, and what. */
const noticeSchema = z.tuple([z.string(), z.string(), z.guid()]);

/**
 * Two things come from outside while a daemon runs: what an import brought back although it was forgotten, and died over;
 * and what was forgotten through another daemon, which this one's log has to say too, or its backups would bring it back.
 */
export function createErasureKeeper(deps: ErasureKeeperDeps): ErasureKeeper {
  const { db, instanceId, backupDir: directory, log } = deps;
  const stopped = new AbortController();
  const working = new Set<Promise<void>>();
  let catchingUp: Promise<void> | undefined;
  let isAgain = false;
  let isResting = false;

  const { signal } = stopped;

  async function catchUpNow(): Promise<void> {
    try {
      do {
        isAgain = false;
        await carryOutDueErasures({ ...deps, signal });
        await syncErasures(db, directory);
      } while (isAgain && !signal.aborted);
    } finally {
      // With the last look at isAgain: who comes after it begins anew.
      catchingUp = undefined;
    }
  }

  function catchUp(): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    isAgain = catchingUp !== undefined;
    catchingUp ??= catchUpNow();
    return catchingUp;
  }

  /** Mostly nothing is: a look at an empty table. */
  async function lookForDue(): Promise<void> {
    if ((await selectErasuresDue(db, 1)).length > 0) await catchUp();
  }

  /** Behind whoever told; what fails is done by the next one who catches up. */
  function behind(work: () => Promise<unknown>): void {
    if (signal.aborted || isResting) return;
    const done = work().then(
      () => undefined,
      (thrown: unknown) => {
        if (!signal.aborted)
          log.warn({ error: errorMessage(thrown) }, 'erasures of others are not carried out or noted yet');
      },
    );
    working.add(done);
    void done.finally(() => working.delete(done));
  }

  async function settled(): Promise<void> {
    await Promise.all(working);
    await catchingUp?.catch(() => undefined);
  }

  return {
    catchUp,
    heard(channel, payload) {
      // An import tells of its bank.
      if (channel === 'engramd_work') behind(lookForDue);
      if (channel !== 'engramd_erased') return;
      const notice = noticeOf(payload);
      if (notice && notice.from !== instanceId) behind(() => noteErasure({ db, directory, log }, notice));
    },
    missed: () => behind(catchUp),
    part: {
      name: 'erasures',
      release() {
        isResting = true;
        return settled();
      },
      async restore() {
        isResting = false;
        behind(catchUp);
      },
    },
    async stop() {
      stopped.abort(new Error('the daemon stops'));
      await settled();
    },
  };
}

/** Undefined: somebody else's word. */
function noticeOf(payload: string): { from: string; bankId: string; memoryId: string } | undefined {
  try {
    const [from, bankId, memoryId] = noticeSchema.parse(JSON.parse(payload));
    return { from, bankId, memoryId };
  } catch {
    return undefined;
  }
}
