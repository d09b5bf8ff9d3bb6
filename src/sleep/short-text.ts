import { scrubSecrets } from '../models/scrub-secrets.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';

const longest = 500;

/** A note as it can be kept and shown: no secret, no character that PostgreSQL refuses, no end. */
export function shortNote(text: string): string {
  return scrubSecrets(text.replaceAll('\0', '')).value.slice(0, longest).toWellFormed();
}

/** The same of whatever was thrown. */
export function shortError(thrown: unknown): string {
  return shortNote(errorMessage(thrown));
}
