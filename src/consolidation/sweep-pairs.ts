import type { ChangedObservation } from '../store/changed-observations.ts';
import type { ReadonlyNeighbours } from '../store/neighbours/neighbour-lists.ts';
import { loadRelated } from '../store/related-observations.ts';
import { leftToPeople } from '../store/sweep-rows.ts';
import { cosine } from './cosine.ts';
import type { PairToJudge } from './decider.ts';
import type { EngineDeps } from './dependencies.ts';
import { admissibleVerdicts } from './pair-verdict.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';

/** Nearest neighbours that an observation is judged beside; those that the search for contradictions looks at too. */
const nearest = 5;

/** An observation as it was read: what a fold leans on. */
interface Seen {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly validFrom: Date | null;
}

/** Two that may say the same. Ids sort by time: the older one is held, whichever of them changed. */
export interface SweepPair {
  /** The changed one that it was found by. */
  readonly rowId: string;
  readonly older: Seen;
  readonly younger: Seen;
  readonly tags: readonly string[];
  readonly judged: PairToJudge;
}

/** Pairs that were looked at, so that each is once; bounded, since a second look costs no more than a kept verdict. */
export class LookedAt {
  #pairs = new Set<string>();

  /** True at the first time. */
  add(older: string, younger: string): boolean {
    if (this.#pairs.size >= 100_000) this.#pairs = new Set();
    const before = this.#pairs.size;
    return this.#pairs.add(`${older}/${younger}`).size > before;
  }
}

/**
 * The pairs of these observations and what is near to them in their scope that may be folded: alike enough to be worth a
 * decision, their numbers, dates, names and negation agreeing (law L9), and nothing in the way that a person has to
 * decide. What differs in a value nobody has to be asked about here: the search for contradictions does.
 *
 * @param lists where the neighbours of rows that they know are taken from; of the others the index is asked
 */
export async function pairsOf(
  deps: EngineDeps,
  bankId: string,
  rows: readonly ChangedObservation[],
  known: { readonly lists: ReadonlyNeighbours | null; readonly looked: LookedAt },
): Promise<SweepPair[]> {
  const near = await nearIds(deps, bankId, rows, known.lists);
  const pairs: SweepPair[] = [];
  for (const [scope, ofScope] of Map.groupBy(rows, (row) => JSON.stringify(row.tags))) {
    const tags: string[] = JSON.parse(scope);
    const ids = [...new Set(ofScope.flatMap((row) => near.get(row.id) ?? []))];
    const others = new Map((await loadRelated(deps.db, { bankId, tags, ids })).map((other) => [other.id, other]));
    for (const row of ofScope) {
      for (const id of near.get(row.id) ?? []) {
        const other = others.get(id);
        if (!other) continue;
        // As they stand: lists were built before, an index may be a moment behind.
        const similarity = cosine(row.embedding, other.embedding);
        if (similarity < repeatSimilarityOf(deps.embedder.model)) continue;
        const [older, younger] = row.id < other.id ? [row, other] : [other, row];
        if (!known.looked.add(older.id, younger.id)) continue;
        const judged: PairToJudge = {
          held: { text: older.text, validFrom: older.validFrom },
          offered: { text: younger.text, validFrom: younger.validFrom },
          similarity,
        };
        if (!admissibleVerdicts(judged).includes('same')) continue;
        pairs.push({ rowId: row.id, older, younger, tags, judged });
      }
    }
  }
  const skipped = await leftToPeople(
    deps.db,
    bankId,
    pairs.map(({ older, younger }) => ({ older: older.id, younger: younger.id })),
  );
  return pairs.filter((_, index) => !skipped.has(index));
}

/** Ids near to each row, nearest first. */
async function nearIds(
  { vectors, embedder }: EngineDeps,
  bankId: string,
  rows: readonly ChangedObservation[],
  lists: ReadonlyNeighbours | null,
): Promise<Map<string, readonly string[]>> {
  const near = new Map<string, readonly string[]>();
  const unlisted: ChangedObservation[] = [];
  for (const row of rows) {
    const listed = lists?.nearest(row.id) ?? [];
    if (lists === null || (listed.length === 0 && !lists.isComplete)) unlisted.push(row);
    else {
      near.set(
        row.id,
        listed.slice(0, nearest).map((one) => one.id),
      );
    }
  }
  if (unlisted.length === 0) return near;
  const model = embedder.model.id;
  const hits = await vectors.nearest(
    unlisted.map((row) => ({
      bankId,
      target: 'observations' as const,
      model,
      vector: row.embedding,
      limit: nearest + 1,
      scope: row.tags,
      liveOnly: true,
    })),
  );
  unlisted.forEach((row, index) => {
    const ids = (hits[index] ?? []).map((hit) => hit.id);
    near.set(row.id, ids.filter((id) => id !== row.id).slice(0, nearest));
  });
  return near;
}
