import type { Config } from '../config/schema.ts';
import type { Database } from '../db/database.ts';
import type { Embedder, EmbeddingModel } from '../models/embedder.ts';
import { createLocalEmbedder } from '../models/local/local-embedder.ts';
import { pinEmbeddingModel } from '../store/embedding-models.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';

/** The vectors of the database come from a model that this engramd cannot ask. */
class EmbeddingModelUnavailableError extends EngramdError {
  readonly code = 'EMBEDDING_MODEL_UNAVAILABLE';
  override readonly exitCode = 2;
}

/**
 * The embedder of the database's model. First use pins the configured one; from then on the pin holds, whatever is
 * configured, since vectors of two models cannot be compared.
 *
 * @throws EmbeddingModelUnavailableError
 */
export async function openEmbedder(options: {
  readonly config: Config;
  readonly db: Database;
  /** Instead of the configured one. */
  readonly inner: Embedder | undefined;
}): Promise<{ embedder: Embedder; configuredModel: EmbeddingModel }> {
  const { config, db } = options;
  const embedder = options.inner ?? createConfigured(config.embedder ?? 'local');
  const pinned = await pinEmbeddingModel(db, embedder.model);
  if (pinned.id !== embedder.model.id) {
    throw new EmbeddingModelUnavailableError(
      `the vectors of this database come from ${pinned.id}; this engramd has ${embedder.model.id} (ENGRAMD_EMBEDDER) and they cannot be mixed`,
    );
  }
  return { embedder, configuredModel: embedder.model };
}

function createConfigured(kind: NonNullable<Config['embedder']>): Embedder {
  switch (kind) {
    case 'local':
      return createLocalEmbedder();
    case 'openai':
      throw new EmbeddingModelUnavailableError('not yet');
    default:
      return kind satisfies never;
  }
}
