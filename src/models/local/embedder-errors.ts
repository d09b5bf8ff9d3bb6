import { EngramdError } from '../../telemetry/engramd-error.ts';

/** The embedder's thread died or could not load its model. Every waiting call gets this; the next call starts a new one. */
export class EmbedderCrashedError extends EngramdError {
  readonly code = 'EMBEDDER_CRASHED';
  override readonly retryable = true;
}

/** The embedder was released while the call waited. */
export class EmbedderReleasedError extends EngramdError {
  readonly code = 'EMBEDDER_RELEASED';
  override readonly retryable = true;

  constructor() {
    super('the embedder was released while a call waited for it');
  }
}
