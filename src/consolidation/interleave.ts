/**
 * Takes the best of every list, then the second best of every list, each item once: the nearest by meaning of one memory
 * cannot be ranked out by ten good matches of its neighbours. (Fusing by reciprocal rank dropped exact twins elsewhere.)
 */
export function interleave<T>(lists: readonly (readonly T[])[]): T[] {
  const seen = new Set<T>();
  const longest = Math.max(0, ...lists.map((list) => list.length));
  for (let rank = 0; rank < longest; rank += 1) {
    for (const list of lists) {
      const item = list[rank];
      if (item !== undefined) seen.add(item);
    }
  }
  return [...seen];
}

/** Keeps what fits, in order; one item too big is passed over, not the end of the list. */
export function fitBudget<T>(items: readonly T[], costOf: (item: T) => number, budget: number): T[] {
  let left = budget;
  return items.filter((item) => {
    const cost = costOf(item);
    if (cost > left) return false;
    left -= cost;
    return true;
  });
}
