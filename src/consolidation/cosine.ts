/**
 * Cosine of two vectors of unit length; what the embedder port returns is of unit length. 0 for two of different lengths:
 * one is of a model that was left, and nothing can be said until its row is embedded again.
 */
export function cosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return 0;
  let sum = 0;
  for (let index = 0; index < a.length; index += 1) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
}
