import type { Embedder, EmbedOptions } from '../models/embedder.ts';
import { embeddingText } from '../models/embedding-text.ts';
import { InvalidEmbeddingError } from '../models/validate-embedding.ts';

export interface Embedded<Row> {
  readonly vectors: readonly { readonly row: Row; readonly vector: Float32Array }[];
  /** What the model cannot take, and why. */
  readonly refused: readonly { readonly row: Row; readonly reason: string }[];
}

/**
 * Vectors for rows, with those set apart whose text the model refuses.
 *
 * @throws what the embedder throws for another reason than one text; nothing has come of it then
 */
export async function embedEach<Row extends { readonly text: string }>(
  embedder: Embedder,
  rows: readonly Row[],
  options: EmbedOptions,
): Promise<Embedded<Row>> {
  const refused: { row: Row; reason: string }[] = [];
  let rest = [...rows];
  while (rest.length > 0) {
    try {
      const vectors = await embedder.embed(rest.map(embeddingText), options);
      return {
        vectors: rest.flatMap((row, at) => {
          const vector = vectors[at];
          return vector ? [{ row, vector }] : [];
        }),
        refused,
      };
    } catch (thrown) {
      // Without an index the answer as a whole is bad, which is the model's fault and no text's.
      if (!(thrown instanceof InvalidEmbeddingError) || thrown.index === null) throw thrown;
      const [row] = rest.slice(thrown.index);
      if (!row) throw thrown;
      refused.push({ row, reason: thrown.reason });
      rest = rest.filter((other) => other !== row);
    }
  }
  return { vectors: [], refused };
}
