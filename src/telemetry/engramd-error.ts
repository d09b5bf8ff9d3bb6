/**
 * The root of every error engramd throws on purpose.
 *
 * `code` is stable and safe to match on; `retryable` says whether the same call may succeed later without anybody
 * changing anything. Anything thrown that is not an `EngramdError` is a bug or comes from a library.
 */
export abstract class EngramdError extends Error {
  abstract readonly code: string;
  readonly retryable: boolean = false;
  /** The process exit code of a command that ends with this error. See DESIGN §2: 1 failed, 2 usage, 3 unreachable, 4 refused. */
  readonly exitCode: 1 | 2 | 3 | 4 = 1;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The text of whatever was thrown, on one line. */
export function errorMessage(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.replace(/\s*\n\s*/g, ' ');
}
