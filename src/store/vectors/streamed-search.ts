import type { Database } from '../../db/database.ts';
import { matrixChange, rowsPerPage } from './cached-matrix.ts';
import type { MatrixHits, MatrixQuery } from './matrix.ts';
import { type MatrixKey, type PageFilter, readWhole } from './matrix-rows.ts';
import type { MatrixThread } from './matrix-thread.ts';
import { byNearness } from './query-groups.ts';
import type { VectorHit } from './vector-index.ts';

/**
 * Answers queries over a bank that is too large to be kept: reads it page by page, ranks each page in the thread and
 * keeps the best. Right, and as slow as reading everything is.
 *
 * @param filter what all of the queries have in common, so that the database leaves out the rest.
 * @returns the hits, and how many rows passed the filter.
 */
export async function streamedSearch(options: {
  readonly db: Database;
  readonly thread: MatrixThread;
  readonly key: MatrixKey;
  readonly dimensions: number;
  readonly filter: PageFilter;
  readonly queries: readonly MatrixQuery[];
}): Promise<{ hits: VectorHit[][]; rows: number }> {
  const { db, thread, key, dimensions, filter, queries } = options;
  let best: VectorHit[][] = queries.map(() => []);
  let rows = 0;
  let ranked: Promise<void> = Promise.resolve();
  await readWhole(db, key, { filter, pageRows: rowsPerPage(dimensions) }, async (page) => {
    rows += page.length;
    // One page is ranked while the next is fetched; never more are in memory.
    await ranked;
    const matrix = thread.open(dimensions, () => undefined);
    thread.apply(matrix, matrixChange(page, dimensions));
    ranked = thread.search(matrix, queries).then((found) => {
      best = best.map((hits, at) => {
        const merged = [...hits, ...toHits(found[at])].sort(byNearness);
        return merged.slice(0, queries[at]?.limit ?? 0);
      });
    });
    // Heard below; without this, a failing read leaves it unhandled.
    ranked.catch(() => undefined);
    thread.close(matrix);
    return 'continue';
  });
  await ranked;
  return { hits: best, rows };
}

export function toHits(hits: MatrixHits | undefined): VectorHit[] {
  return hits?.ids.map((id, at) => ({ id, similarity: hits.similarities[at] ?? 0 })) ?? [];
}
