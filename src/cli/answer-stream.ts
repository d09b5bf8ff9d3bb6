import type { Writable } from 'node:stream';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';

/** Nobody takes the answer: the disk is full, or whoever read the pipe has gone. */
export class AnswerError extends EngramdError {
  readonly code = 'ANSWER_UNWRITABLE';
  /** `engramd recall … | head`: the reader has what it wanted, and that is no failure. */
  readonly isReaderGone: boolean;

  constructor(cause: Error) {
    super(`the answer cannot be written to stdout: ${errorMessage(cause)}`, { cause });
    this.isReaderGone = 'code' in cause && cause.code === 'EPIPE';
  }
}

export interface AnswerStream {
  /** Goes off with an {@link AnswerError}: nothing more can be told, and what was begun is to be cleaned up. */
  readonly failed: AbortSignal;
  /** Resolves when all that was written has been taken or refused. A pipe takes its time. */
  flush(): Promise<void>;
}

/** Watches stdout for as long as the process lives: an error that nobody listens for would end it in the middle. */
export function watchAnswer(stdout: Writable): AnswerStream {
  const failed = new AbortController();
  stdout.on('error', (cause) => failed.abort(new AnswerError(cause)));
  return {
    failed: failed.signal,
    async flush() {
      await new Promise<void>((resolve) => stdout.write('', () => resolve()));
      // The callback is told before the listener.
      await new Promise(setImmediate);
    },
  };
}
