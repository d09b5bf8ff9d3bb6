import type { VectorHit, VectorQuery } from './vector-index.ts';

/**
 * Answers queries that share a key together, groups side by side, and puts the answers back in the order of the
 * queries. A query for no rows asks nobody.
 *
 * @param answer gets the queries of one key, at least one, and returns a list for each.
 */
export async function answerInGroups(
  queries: readonly VectorQuery[],
  keyOf: (query: VectorQuery) => readonly unknown[],
  answer: (queries: readonly [VectorQuery, ...VectorQuery[]]) => Promise<VectorHit[][]>,
): Promise<VectorHit[][]> {
  const answers: VectorHit[][] = queries.map(() => []);
  const asked = [...queries.entries()].filter(([, query]) => query.limit > 0);
  const groups = Map.groupBy(asked, ([, query]) => JSON.stringify(keyOf(query)));
  await Promise.all(
    [...groups.values()].map(async (group) => {
      const [first, ...others] = group.map(([, query]) => query);
      if (!first) return;
      const found = await answer([first, ...others]);
      for (const [at, [index]] of group.entries()) answers[index] = found[at] ?? [];
    }),
  );
  return answers;
}

/** The order of hits: nearest first, equals by id. */
export function byNearness(a: VectorHit, b: VectorHit): number {
  if (a.similarity !== b.similarity) return b.similarity - a.similarity;
  return a.id < b.id ? -1 : 1;
}
