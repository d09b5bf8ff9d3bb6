import type { Database } from '../../db/database.ts';
import { sqlState } from '../../db/errors.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { createExactIndex } from './exact-index.ts';
import type { StartWorker } from './matrix-thread.ts';
import { createPgvectorIndex } from './pgvector-index.ts';
import { PgvectorUnavailableError } from './vector-errors.ts';
import type { VectorIndex } from './vector-index.ts';

/**
 * pgvector where the server has it (0.7 or newer; installed if the role may), else the exact scan. Says why, once, if a
 * server that has it cannot be used.
 *
 * @param options.force takes one adapter whatever the server offers.
 * @param options.maxBytes what the exact scan may keep in memory.
 * @throws PgvectorUnavailableError if pgvector is forced and not to be had.
 */
export async function chooseVectorIndex(options: {
  readonly db: Database;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly force?: VectorIndex['kind'];
  readonly maxBytes?: number;
  readonly clock?: Clock;
  /** What the exact scan runs in; a measurement puts the main thread in its place. */
  readonly startWorker?: StartWorker;
}): Promise<VectorIndex> {
  const { db, log, metrics, force, maxBytes, clock, startWorker } = options;
  const exact = () =>
    createExactIndex({
      db,
      log,
      ...(metrics !== undefined && { metrics }),
      ...(maxBytes !== undefined && { maxBytes }),
      ...(clock !== undefined && { clock }),
      ...(startWorker !== undefined && { startWorker }),
    });
  if (force === 'exact') return exact();
  const offer = await usablePgvector(db);
  if (offer.kind === 'usable') return createPgvectorIndex({ db, log, iterativeScan: offer.iterativeScan });
  if (force === 'pgvector') throw new PgvectorUnavailableError(`pgvector cannot be used: ${offer.reason}`);
  if (offer.kind === 'refused')
    log.warn({ reason: offer.reason }, 'pgvector cannot be used; vectors are scanned in memory');
  return exact();
}

type Offer =
  | { readonly kind: 'usable'; readonly iterativeScan: boolean }
  /** The server has it, but. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'absent'; readonly reason: string };

async function usablePgvector(db: Database): Promise<Offer> {
  let found = await findExtension(db);
  if (!found) return { kind: 'absent', reason: 'the server does not offer the extension' };
  if (found.installed === null) {
    if (!isAtLeast(found.available, 0, 7)) return { kind: 'refused', reason: tooOld(found.available) };
    const refusal = await createExtension(db);
    if (refusal !== undefined) return { kind: 'refused', reason: refusal };
    found = await findExtension(db);
  }
  const version = found?.installed;
  if (version === null || version === undefined) return { kind: 'refused', reason: 'the extension was removed again' };
  if (!isAtLeast(version, 0, 7))
    return { kind: 'refused', reason: `${tooOld(version)}; run ALTER EXTENSION vector UPDATE` };
  if (!found?.onPath) {
    return {
      kind: 'refused',
      reason: `the extension is in the schema ${found?.schema}, which is not on the search_path`,
    };
  }
  return { kind: 'usable', iterativeScan: isAtLeast(version, 0, 8) };
}

interface Extension {
  readonly available: string;
  readonly installed: string | null;
  readonly schema: string | null;
  readonly onPath: boolean;
}

async function findExtension(db: Database): Promise<Extension | undefined> {
  // No index: the view reads a handful of control files.
  const { rows } = await db.query<Extension>(
    `select a.default_version as available, a.installed_version as installed, n.nspname as schema,
       to_regtype('vector') is not null as "onPath"
     from pg_available_extensions a
     left join pg_extension e on e.extname = a.name
     left join pg_namespace n on n.oid = e.extnamespace
     where a.name = 'vector'`,
  );
  return rows[0];
}

/** @returns why it could not be done. */
async function createExtension(db: Database): Promise<string | undefined> {
  try {
    await db.query('create extension if not exists vector');
    return undefined;
  } catch (thrown) {
    const state = sqlState(thrown);
    // Another daemon was faster, between the check and the entry in the catalog.
    if (state === '23505' || state === '42710') return undefined;
    if (state === '42501') {
      return (
        'it is available and the role of DATABASE_URL lacks the right to install it: ' +
        'GRANT CREATE ON DATABASE <database> TO <role>, or CREATE EXTENSION vector as a superuser'
      );
    }
    if (state === undefined) throw thrown;
    return `CREATE EXTENSION vector failed: ${errorMessage(thrown)}`;
  }
}

function tooOld(version: string): string {
  return `pgvector ${version} is older than 0.7`;
}

/** Whether a version such as `0.8.0` is at least major.minor. */
function isAtLeast(version: string, major: number, minor: number): boolean {
  const [foundMajor = 0, foundMinor = 0] = version.split('.').map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}
