import { EngramdError } from '../../telemetry/engramd-error.ts';

/** A query's vector has another length than the vectors of its model: it was made by another one. */
export class VectorDimensionsError extends EngramdError {
  readonly code = 'VECTOR_DIMENSIONS';

  constructor(model: string, expected: number, actual: number) {
    super(`vectors of the model ${model} have ${expected} dimensions; the query has ${actual}`);
  }
}

/** The thread that scans vectors ended while a search waited for it, and so did the fresh one after it. */
export class VectorThreadError extends EngramdError {
  readonly code = 'VECTOR_THREAD';
  override readonly retryable = true;
}

/** pgvector was asked for by name and is not to be had. */
export class PgvectorUnavailableError extends EngramdError {
  readonly code = 'PGVECTOR_UNAVAILABLE';
  override readonly exitCode = 2;
}
