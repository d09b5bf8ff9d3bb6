/**
 * Numbers of ops are of one database: what comes is numbered behind what is there, in its order, so that no file can use
 * up the numbers of a database. Both sides only grow.
 */
export class Renumbering {
  readonly #theirs: number[] = [];
  readonly #ours: number[] = [];

  add(theirs: readonly number[], ours: readonly number[]): void {
    for (const [at, number] of theirs.entries()) {
      const given = ours[at];
      if (given === undefined) throw new Error(`op ${number} was given no number`);
      this.#theirs.push(number);
      this.#ours.push(given);
    }
  }

  /** The number here of the last op that stood at or before a number there; 0 where none did. */
  upTo(theirs: number): number {
    let [low, high] = [0, this.#theirs.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#theirs[middle] ?? 0) <= theirs) low = middle + 1;
      else high = middle;
    }
    return this.#ours[low - 1] ?? 0;
  }
}
