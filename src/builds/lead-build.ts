import { errorMessage } from '../telemetry/engramd-error.ts';
import { BuildBankGoneError } from './build-outcome.ts';
import type { BuildKey } from './build-store.ts';
import type { Built, SharedBuildOptions } from './shared-build.ts';

export interface LeadOptions<T>
  extends Pick<
    SharedBuildOptions<T>,
    'store' | 'clock' | 'log' | 'racepoints' | 'holder' | 'leaseMs' | 'build' | 'encode'
  > {
  /** What has been saved meanwhile and needs no building. */
  readonly usable: (key: BuildKey) => Promise<{ readonly value: T } | null>;
}

/**
 * Builds and saves under the lease, which is renewed meanwhile. Null: somebody else has the lease.
 * @throws BuildBankGoneError, what the build threw
 *
 * A lease that is lost on the way ends the build: its successor is at it, and what this one made could not be saved.
 */
export async function lead<T>(
  options: LeadOptions<T>,
  key: BuildKey,
  signal: AbortSignal,
): Promise<{ readonly value: T; readonly outcome: 'built' | 'loaded' } | null> {
  const { store, racepoints, holder, leaseMs, log } = options;
  const lease = await store.claim(key, holder, leaseMs);
  if (lease === 'held') return null;
  if (lease === 'gone') throw new BuildBankGoneError(`${key.kind} of ${key.bankId}`);
  try {
    // Between the look that found nothing and the lease, another may have built and given it back.
    const saved = await options.usable(key);
    if (saved) return { value: saved.value, outcome: 'loaded' };
    const built = await underLease(options, key, lease.fence, signal);
    if (built === null) return null;
    await racepoints.reach('build:before-save', { ...key });
    const payload = options.encode(built.value);
    const { rows, seenXid, isComplete } = built;
    if (await store.save(key, lease.fence, { rows, seenXid, isComplete, payload }))
      return { value: built.value, outcome: 'built' };
    log.warn({ ...key, fence: lease.fence }, 'a build was not saved: its lease was lost, or a complete one is there');
    // What is there goes before; where that does not do, this is right all the same, and for those who waited alone.
    return { value: (await options.usable(key))?.value ?? built.value, outcome: 'built' };
  } finally {
    await store.release(key, holder, lease.fence).catch((thrown: unknown) => {
      log.debug({ ...key, error: errorMessage(thrown) }, 'a build lease was not given back; it runs out by itself');
    });
  }
}

/** Null: the lease was lost. */
async function underLease<T>(
  options: LeadOptions<T>,
  key: BuildKey,
  fence: number,
  signal: AbortSignal,
): Promise<Built<T> | null> {
  const { store, clock, racepoints, holder, leaseMs, log } = options;
  const over = new AbortController();
  const lost = new AbortController();
  const renewing = (async () => {
    while (!over.signal.aborted) {
      await clock.sleep(leaseMs / 3, over.signal);
      if (over.signal.aborted) return;
      try {
        if (!(await store.renew(key, holder, fence, leaseMs))) lost.abort();
      } catch (thrown) {
        // Two more fit into the lease; if they fail as well, the save says so.
        log.warn({ ...key, error: errorMessage(thrown) }, 'a build lease could not be renewed');
      }
    }
  })();
  try {
    await racepoints.reach('build:leading', { ...key });
    signal.throwIfAborted();
    return await options.build(key, AbortSignal.any([signal, lost.signal]));
  } catch (thrown) {
    if (lost.signal.aborted && !signal.aborted) return null;
    throw thrown;
  } finally {
    over.abort();
    await renewing;
  }
}
