import type { BuildKey } from '../../builds/build-store.ts';
import { dirtyLimit, freshness } from '../../builds/freshness.ts';
import { type Built, createSharedBuild } from '../../builds/shared-build.ts';
import type { Database } from '../../db/database.ts';
import { assertNoLease } from '../../db/lease.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import { createBuildStore } from '../shared-builds.ts';
import { rowsPerPage } from '../vectors/cached-matrix.ts';
import { decodeNeighbours } from './neighbour-codec.ts';
import type { NeighbourLists, ReadonlyNeighbours } from './neighbour-lists.ts';
import {
  countNeighbourRows,
  type NeighbourRow,
  readDimensions,
  readNeighbourPage,
  readSeenXid,
} from './neighbour-rows.ts';
import { findInThread, type StartNeighbourWorker, startNeighbourWorker } from './neighbour-thread.ts';

export interface NeighbourListsOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /** Who builds, among all daemons. */
  readonly instanceId: string;
  /** The least cosine at which two observations of a model are worth being told of. */
  readonly floorOf: (modelId: string) => number;
  readonly startWorker?: StartNeighbourWorker;
  /** What the vectors of a bank may occupy in the thread. Default 1 GiB: half a million of 512 numbers. */
  readonly maxBytes?: number;
}

interface Lists {
  readonly lists: ReadonlyNeighbours;
  readonly payload: Uint8Array;
}

/**
 * A builder that died is succeeded after half a minute. Fifty thousand rows take less than one, so that five are enough to
 * wait for another daemon, and twenty are for a build that hangs.
 */
const boundsMs = { leaseMs: 30_000, pollMs: 500, waitMs: 300_000, buildMs: 1_200_000, retryMs: 600_000 };

/** @returns the lists, and what ends all builds; whoever asks after that is served as ever. */
export function createNeighbourLists(options: NeighbourListsOptions): NeighbourLists & { stop(): Promise<void> } {
  const { db, metrics, floorOf } = options;
  const startWorker = options.startWorker ?? startNeighbourWorker;
  const maxBytes = options.maxBytes ?? 1024 * 1024 * 1024;
  const warnedOf = new Set<string>();

  const shared = createSharedBuild<Lists>({
    ...boundsMs,
    store: createBuildStore(db),
    clock: options.clock,
    log: options.log,
    racepoints: options.racepoints,
    holder: options.instanceId,
    build,
    async judge({ bankId, key }, saved) {
      const { modelId } = partsOf(key);
      const { rows, seenXid, isComplete, ageSeconds } = saved;
      // One more than may be, which is all that has to be known.
      const most = Math.floor(dirtyLimit(rows)) + 1;
      const counts = await countNeighbourRows(db, bankId, { modelId, seenXid, most });
      return freshness({ ageSeconds, builtOf: rows, isComplete, ...counts });
    },
    encode: ({ payload }) => payload,
    decode: (saved) => ({ lists: decodeNeighbours(saved.payload, saved), payload: saved.payload }),
    onOutcome: (outcome) => metrics.builds.inc({ kind: 'neighbours', outcome }),
  });

  async function build({ bankId, key }: BuildKey, signal: AbortSignal): Promise<Built<Lists>> {
    const { modelId, floor } = partsOf(key);
    const dimensions = await readDimensions(db, modelId);
    if (dimensions === null) throw new Error(`no model ${modelId}`);
    // Before the rows: what changes while they are read is counted as changed since.
    const seenXid = await readSeenXid(db);
    const pages = readPages({ bankId, modelId, limit: rowsPerPage(dimensions), signal });
    const { rows, payload } = await findInThread(pages, { dimensions, floor, startWorker, signal });
    const mark = { isComplete: true, seenXid };
    return { value: { lists: decodeNeighbours(payload, mark), payload }, rows, ...mark };
  }

  async function* readPages(of: { bankId: string; modelId: string; limit: number; signal: AbortSignal }) {
    for (let after: string | null = null; ; ) {
      of.signal.throwIfAborted();
      const page: NeighbourRow[] = await readNeighbourPage(db, of.bankId, { ...of, after });
      yield page;
      if (page.length < of.limit) return;
      after = page.at(-1)?.id ?? null;
    }
  }

  async function fits(bankId: string, modelId: string, dimensions: number): Promise<boolean> {
    const { rows } = await countNeighbourRows(db, bankId, { modelId, seenXid: '0', most: 0 });
    if (rows * dimensions * 4 <= maxBytes) return true;
    if (!warnedOf.has(bankId)) {
      warnedOf.add(bankId);
      options.log.warn({ bank: bankId, rows, maxBytes }, 'the bank is too large for neighbour lists');
    }
    return false;
  }

  return {
    async of(bankId, modelId, { signal }) {
      // Said here, since only the caller that happens to build would be refused by the pool.
      assertNoLease('a build of neighbour lists');
      const dimensions = await readDimensions(db, modelId);
      if (dimensions === null || !(await fits(bankId, modelId, dimensions))) return null;
      const key = { bankId, kind: 'neighbours', key: JSON.stringify([modelId, floorOf(modelId)]) };
      return (await shared.get(key, { signal })).lists;
    },
    stop: () => shared.stop(),
  };
}

function partsOf(key: string): { modelId: string; floor: number } {
  const [modelId, floor] = JSON.parse(key) as [string, number];
  return { modelId, floor };
}
