import type { Queryable } from '../../db/database.ts';
import { VectorDimensionsError } from './vector-errors.ts';
import type { VectorQuery } from './vector-index.ts';

/** How long the vectors of each model are. Asked once a model: a model's row never changes its dimensions. */
export class ModelDimensions {
  readonly #db: Queryable;
  readonly #known = new Map<string, number>();

  constructor(db: Queryable) {
    this.#db = db;
  }

  /**
   * @returns undefined for a model that was never pinned: no row can have a vector of it.
   * @throws VectorDimensionsError if a query's vector has another length; RangeError if it is not finite.
   */
  async of(model: string, queries: readonly VectorQuery[]): Promise<number | undefined> {
    const dimensions = this.#known.get(model) ?? (await this.#read(model));
    if (dimensions === undefined) return undefined;
    for (const { vector } of queries) {
      if (vector.length !== dimensions) throw new VectorDimensionsError(model, dimensions, vector.length);
      if (!vector.every(Number.isFinite))
        throw new RangeError('the vector of a query holds a number that is not finite');
    }
    return dimensions;
  }

  async #read(model: string): Promise<number | undefined> {
    // Index: embedding_models_pkey.
    const { rows } = await this.#db.query<{ dimensions: number }>(
      'select dimensions from engram.embedding_models where id = $1',
      [model],
    );
    const dimensions = rows[0]?.dimensions;
    if (dimensions !== undefined) this.#known.set(model, dimensions);
    return dimensions;
  }
}
