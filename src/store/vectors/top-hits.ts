/**
 * The best `limit` rows seen so far: a binary heap whose root is the worst of them, since nearly every row of a scan is
 * turned away by one comparison with it.
 */
export class TopHits {
  readonly #limit: number;
  readonly #idOf: (row: number) => string;
  readonly #rows: number[] = [];
  readonly #similarities: number[] = [];

  /** @param idOf decides between equal similarities: the smaller id comes first. */
  constructor(limit: number, idOf: (row: number) => string) {
    this.#limit = limit;
    this.#idOf = idOf;
  }

  offer(row: number, similarity: number): void {
    const size = this.#rows.length;
    // NaN: a vector without a direction is near to nothing.
    if (Number.isNaN(similarity) || this.#limit === 0) return;
    if (size < this.#limit) {
      this.#rows.push(row);
      this.#similarities.push(similarity);
      this.#siftUp(size);
      return;
    }
    const worst = this.#similarities[0] ?? 0;
    if (similarity < worst) return;
    if (similarity === worst && this.#idOf(row) > this.#idOf(this.#rows[0] ?? 0)) return;
    this.#rows[0] = row;
    this.#similarities[0] = similarity;
    this.#siftDown();
  }

  /** Best first. */
  ranked(): { row: number; similarity: number }[] {
    return this.#rows
      .map((row, at) => ({ row, similarity: this.#similarities[at] ?? 0 }))
      .sort((a, b) => b.similarity - a.similarity || (this.#idOf(a.row) < this.#idOf(b.row) ? -1 : 1));
  }

  #isWorse(a: number, b: number): boolean {
    const difference = (this.#similarities[a] ?? 0) - (this.#similarities[b] ?? 0);
    if (difference !== 0) return difference < 0;
    return this.#idOf(this.#rows[a] ?? 0) > this.#idOf(this.#rows[b] ?? 0);
  }

  #swap(a: number, b: number): void {
    const { [a]: rowA = 0, [b]: rowB = 0 } = this.#rows;
    const { [a]: similarityA = 0, [b]: similarityB = 0 } = this.#similarities;
    this.#rows[a] = rowB;
    this.#rows[b] = rowA;
    this.#similarities[a] = similarityB;
    this.#similarities[b] = similarityA;
  }

  #siftUp(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#isWorse(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #siftDown(): void {
    const size = this.#rows.length;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let worst = at;
      if (left < size && this.#isWorse(left, worst)) worst = left;
      if (right < size && this.#isWorse(right, worst)) worst = right;
      if (worst === at) return;
      this.#swap(at, worst);
      at = worst;
    }
  }
}
