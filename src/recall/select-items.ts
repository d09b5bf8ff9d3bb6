import type { Covers, Hit } from './fuse.ts';

/** Characters of English a token takes, near enough to fill a budget by. */
const charactersPerToken = 4;

export function estimateTokens(characters: number): number {
  return Math.ceil(characters / charactersPerToken);
}

export interface Selection {
  readonly limit: number;
  /** Of the texts of the items themselves; undefined: no bound. */
  readonly maxTokens: number | undefined;
  readonly covers: Covers;
  readonly tokensOf: (hit: Hit) => number;
}

/**
 * Takes hits in order until the limit. One that does not fit into what is left of the budget is passed over and the
 * search goes on: the first item may be the longest. A memory that an item taken before it cites adds nothing.
 */
export function selectItems(hits: readonly Hit[], selection: Selection): Hit[] {
  const taken: Hit[] = [];
  const takenObservations = new Set<string>();
  let tokensLeft = selection.maxTokens ?? Number.POSITIVE_INFINITY;
  for (const hit of hits) {
    if (taken.length >= selection.limit) break;
    if (selection.covers.get(hit.id)?.some(({ rootId, by }) => by !== 'supersession' && takenObservations.has(rootId)))
      continue;
    const tokens = selection.tokensOf(hit);
    if (tokens > tokensLeft) continue;
    tokensLeft -= tokens;
    taken.push(hit);
    if (hit.target === 'observations') takenObservations.add(hit.id);
  }
  return taken;
}
