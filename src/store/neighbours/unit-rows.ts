import { decodeRealArrayInto, realArrayByteLength } from '../vectors/vector-bytes.ts';

/** Numbers stand in blocks of this size: growing copies nothing. */
const blockBytes = 4 * 1024 * 1024;

/** Where the numbers of a row are. */
export interface Place {
  readonly block: Float32Array;
  readonly offset: number;
}

/** Vectors brought to unit length, so that a dot product is a cosine. Pure computation, as all that works on them. */
export class UnitRows {
  readonly dimensions: number;
  readonly #rowsPerBlock: number;
  readonly #blocks: Float32Array[] = [];
  #rows = 0;

  constructor(dimensions: number) {
    this.dimensions = dimensions;
    this.#rowsPerBlock = Math.max(1, Math.floor(blockBytes / (dimensions * 4)));
  }

  get rows(): number {
    return this.#rows;
  }

  /** @param vectors `array_send(embedding)` of each row, one behind the other. */
  append(vectors: Uint8Array): void {
    const stride = realArrayByteLength(this.dimensions);
    const view = new DataView(vectors.buffer, vectors.byteOffset, vectors.byteLength);
    for (let at = 0; at < vectors.byteLength; at += stride) {
      const { block, offset } = this.#next();
      decodeRealArrayInto(view, at, stride, block, offset);
      bringToUnit(block, offset, this.dimensions);
    }
  }

  /** A copy, brought to unit length: centroids are kept so. */
  push(vector: ArrayLike<number>): void {
    const { block, offset } = this.#next();
    for (let i = 0; i < this.dimensions; i += 1) block[offset + i] = vector[i] ?? 0;
    bringToUnit(block, offset, this.dimensions);
  }

  place(row: number): Place {
    const block = this.#blocks[Math.floor(row / this.#rowsPerBlock)];
    if (!block) throw new RangeError(`row ${row} of ${this.#rows}`);
    return { block, offset: (row % this.#rowsPerBlock) * this.dimensions };
  }

  #next(): Place {
    if (this.#rows === this.#blocks.length * this.#rowsPerBlock)
      this.#blocks.push(new Float32Array(this.#rowsPerBlock * this.dimensions));
    this.#rows += 1;
    return this.place(this.#rows - 1);
  }
}

/** A vector without a direction becomes one of NaN, which is near to nothing. */
function bringToUnit(block: Float32Array, offset: number, dimensions: number): void {
  let squares = 0;
  for (let i = offset; i < offset + dimensions; i += 1) squares += (block[i] ?? 0) ** 2;
  const inverseNorm = squares === 0 ? Number.NaN : 1 / Math.sqrt(squares);
  for (let i = offset; i < offset + dimensions; i += 1) block[i] = (block[i] ?? 0) * inverseNorm;
}

/**
 * Cosines of up to four rows with many: four at a time read and convert each of the many once. Always four lanes, since
 * another order of adding would give other last digits, and the same pair is met from both its sides.
 */
export class FourLanes {
  readonly #rows: UnitRows;
  readonly #lanes: Float64Array[];
  readonly cosines = new Float64Array(4);

  constructor(rows: UnitRows) {
    this.#rows = rows;
    this.#lanes = Array.from({ length: 4 }, () => new Float64Array(rows.dimensions));
  }

  load(lane: number, row: number): void {
    const { block, offset } = this.#rows.place(row);
    this.#lanes[lane]?.set(block.subarray(offset, offset + this.#rows.dimensions));
  }

  /** @returns `cosines`, written over by the next call. */
  with({ block, offset }: Place): Float64Array {
    const [a, b, c, d] = this.#lanes as [Float64Array, Float64Array, Float64Array, Float64Array];
    let sumA = 0;
    let sumB = 0;
    let sumC = 0;
    let sumD = 0;
    for (let i = 0; i < a.length; i += 1) {
      const value = block[offset + i] ?? 0;
      sumA += value * (a[i] ?? 0);
      sumB += value * (b[i] ?? 0);
      sumC += value * (c[i] ?? 0);
      sumD += value * (d[i] ?? 0);
    }
    this.cosines[0] = sumA;
    this.cosines[1] = sumB;
    this.cosines[2] = sumC;
    this.cosines[3] = sumD;
    return this.cosines;
  }
}
