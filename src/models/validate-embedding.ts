import { EngramdError } from '../telemetry/engramd-error.ts';

/** An embedder answered something that must not be stored. The same text would most likely fail again. */
export class InvalidEmbeddingError extends EngramdError {
  readonly code = 'INVALID_EMBEDDING';
  /** Position in the request of the text whose vector is bad; null when the answer as a whole is. */
  readonly index: number | null;
  readonly reason: string;

  constructor(index: number | null, reason: string) {
    super(index === null ? `invalid embeddings: ${reason}` : `invalid embedding ${index}: ${reason}`);
    this.index = index;
    this.reason = reason;
  }
}

/**
 * Checks a whole answer and returns it as new unit vectors; the input is left alone.
 *
 * @throws InvalidEmbeddingError naming the first vector at fault.
 */
export function validateEmbeddings(
  vectors: readonly Float32Array[],
  expected: { readonly count: number; readonly dimensions: number },
): Float32Array[] {
  if (vectors.length !== expected.count) {
    throw new InvalidEmbeddingError(null, `${vectors.length} vectors for ${expected.count} texts`);
  }
  return vectors.map((vector, index) => unitVector(vector, index, expected.dimensions));
}

/** What is wrong with a vector; null: nothing. */
export function embeddingFault(vector: Float32Array, dimensions: number): string | null {
  if (vector.length !== dimensions) return `${vector.length} dimensions, expected ${dimensions}`;
  const notFinite = vector.findIndex((value) => !Number.isFinite(value));
  if (notFinite >= 0) return `number ${notFinite} is ${vector[notFinite]}`;
  return lengthOf(vector) === 0 ? 'all numbers are zero' : null;
}

function unitVector(vector: Float32Array, index: number, dimensions: number): Float32Array {
  const fault = embeddingFault(vector, dimensions);
  if (fault !== null) throw new InvalidEmbeddingError(index, fault);
  const norm = lengthOf(vector);
  return vector.map((value) => value / norm);
}

/** Squares are summed in doubles: neither the largest float (3.4e38) overflows nor the smallest (1.4e-45) vanishes. */
function lengthOf(vector: Float32Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}
