/** How many neighbours a row has at most. */
export const mostNeighbours = 8;

/** The best neighbours of every row seen so far, each row's in order: nearest first, ties by row. */
export class NearestTable {
  readonly #floor: number;
  readonly #counts: Uint8Array;
  readonly #rows: Uint32Array;
  readonly #similarities: Float32Array;

  constructor(rows: number, floor: number) {
    this.#floor = floor;
    this.#counts = new Uint8Array(rows);
    this.#rows = new Uint32Array(rows * mostNeighbours);
    this.#similarities = new Float32Array(rows * mostNeighbours);
  }

  /** Both are offered to each other; a pair that is met again changes nothing. */
  offer(a: number, b: number, cosine: number): void {
    // NaN: a vector without a direction.
    if (!(cosine >= this.#floor) || a === b) return;
    const similarity = Math.fround(Math.min(1, cosine));
    this.#insert(a, b, similarity);
    this.#insert(b, a, similarity);
  }

  count(row: number): number {
    return this.#counts[row] ?? 0;
  }

  neighbour(row: number, at: number): { row: number; similarity: number } {
    const place = row * mostNeighbours + at;
    return { row: this.#rows[place] ?? 0, similarity: this.#similarities[place] ?? 0 };
  }

  #insert(row: number, other: number, similarity: number): void {
    const first = row * mostNeighbours;
    const count = this.#counts[row] ?? 0;
    let at = count;
    while (at > 0 && this.#isBefore(other, similarity, first + at - 1)) at -= 1;
    // A pair met again has the same similarity, so that it stands right before its place.
    if (at === mostNeighbours || (at > 0 && this.#rows[first + at - 1] === other)) return;
    const last = Math.min(count, mostNeighbours - 1);
    for (let to = last; to > at; to -= 1) {
      this.#rows[first + to] = this.#rows[first + to - 1] ?? 0;
      this.#similarities[first + to] = this.#similarities[first + to - 1] ?? 0;
    }
    this.#rows[first + at] = other;
    this.#similarities[first + at] = similarity;
    this.#counts[row] = Math.min(mostNeighbours, count + 1);
  }

  #isBefore(other: number, similarity: number, place: number): boolean {
    const there = this.#similarities[place] ?? 0;
    if (similarity !== there) return similarity > there;
    return other < (this.#rows[place] ?? 0);
  }
}
