import { EngramdError } from '../../telemetry/engramd-error.ts';
import { RetryLaterError } from '../provider-errors.ts';

/** The vectors of the database come from a model that this engramd cannot ask. */
export class EmbeddingModelUnavailableError extends EngramdError {
  readonly code = 'EMBEDDING_MODEL_UNAVAILABLE';
  /** Work waits for another setting; no memory is to blame. */
  override readonly retryable = true;
  override readonly exitCode = 2;
}

/** The model of the database changed under work that had begun with another. Nothing was stored; it is done again. */
export class EmbeddingModelMovedError extends RetryLaterError {
  readonly code = 'EMBEDDING_MODEL_MOVED';
}
