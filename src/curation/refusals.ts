import type { ChangeOpKind } from '../store/change-ops.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';

/** Something that stands on what was to be taken back. */
export interface LaterChange {
  /** Null where no recorded op tells how it came about. */
  readonly changeSetId: string | null;
  readonly seq: number | null;
  readonly op: ChangeOpKind | null;
  readonly at: Date | null;
  readonly observationId: string | null;
  /** In words, with an excerpt of the text. */
  readonly what: string;
}

export type RefusalCode =
  /** Nothing in it waits for a decision, or somebody else has decided meanwhile. */
  | 'NOT_PROPOSED'
  /** Nothing in it is in force that could be taken back. */
  | 'NOT_APPLIED'
  /** Something stands on it by now. */
  | 'LATER_CHANGES'
  /** It took an undo back: what is in force is the set that was undone first. */
  | 'UNDO_THE_ORIGINAL'
  /** The conflict is closed. */
  | 'NOT_OPEN'
  /** What was to be kept is no longer current. */
  | 'NOT_CURRENT';

/** What a person asked for cannot be done, and nothing was. */
export class RefusedError extends EngramdError {
  readonly code: RefusalCode;
  override readonly exitCode = 4;
  readonly later: readonly LaterChange[];

  constructor(code: RefusalCode, message: string, later: readonly LaterChange[] = []) {
    super(message);
    this.code = code;
    this.later = later;
  }
}

/** There is no such change set, run, op or conflict in the bank. */
export class NothingNamedError extends EngramdError {
  readonly code = 'NOT_FOUND';
}

/** Whatever it stands on kept changing. Nothing was done. */
export class CurationContendedError extends EngramdError {
  readonly code = 'CONTENDED';
  override readonly retryable = true;
}

const excerptChars = 80;

/** The beginning of a text, in quotation marks. */
export function excerpt(text: string | null): string {
  if (text === null) return '';
  const line = text.replace(/\s+/g, ' ');
  return `"${line.length > excerptChars ? `${line.slice(0, excerptChars - 1)}…` : line}"`;
}
