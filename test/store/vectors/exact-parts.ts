import type { Database } from '../../../src/db/database.ts';
import { createExactIndex, type ExactIndex, type ExactIndexOptions } from '../../../src/store/vectors/exact-index.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { addBank, addObservations, towards } from './vector-rows.ts';

export async function withIndex(
  options: Partial<ExactIndexOptions> & { readonly db: Database },
  work: (index: ExactIndex) => Promise<void>,
): Promise<void> {
  const index = createExactIndex({ log: silentLog, ...options });
  try {
    await work(index);
  } finally {
    await index.release();
  }
}

/** Counts what goes to the database. */
export function counted(inner: Database) {
  const query: Database['query'] = (text, values) => {
    counts.queries += 1;
    return inner.query(text, values);
  };
  const tx: Database['tx'] = (options, work) => {
    counts.wholeReads += 1;
    return inner.tx(options, work);
  };
  const counts = { db: { ...inner, query, tx }, queries: 0, wholeReads: 0 };
  return counts;
}

/** A database whose statements about one bank wait from `hold` until `letGo`. */
export function gated(inner: Database, bank: string) {
  let gate: { asked: PromiseWithResolvers<void>; opened: PromiseWithResolvers<void> } | undefined;
  const query: Database['query'] = async (text, values) => {
    if (gate && values?.[0] === bank) {
      gate.asked.resolve();
      await gate.opened.promise;
    }
    return inner.query(text, values);
  };
  return {
    db: { ...inner, query },
    /** Resolves when a statement waits. */
    hold() {
      gate = { asked: Promise.withResolvers(), opened: Promise.withResolvers() };
      return gate.asked.promise;
    },
    letGo() {
      gate?.opened.resolve();
      gate = undefined;
    },
  };
}

/** A bank with one row, whose matrix occupies one block of 256 KiB. */
export async function addSmallBank(db: Database): Promise<{ bank: string; id: string }> {
  const bank = await addBank(db);
  const [id = ''] = await addObservations(db, bank, [{ vector: towards(0) }]);
  return { bank, id };
}
