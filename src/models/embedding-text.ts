import { scrubSecrets } from './scrub-secrets.ts';

/**
 * What a memory is embedded as, wherever that is done. The text alone: an observation that says the same in the same
 * words then has the same vector, which is what duplicates are found by. The context is found by full text.
 *
 * Scrubbed again (law L20): rows also come from plain SQL.
 */
export function embeddingText(memory: { readonly text: string }): string {
  return scrubSecrets(memory.text).value;
}
