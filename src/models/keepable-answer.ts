/**
 * What jsonb refuses within a string: NUL, and half of a surrogate pair. With another backslash before it, it is text about
 * an escape: an answer is itself JSON, and some models escape their emoji.
 */
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i;

/** JSON text of an answer; null where the database would refuse it, and with it the settlement that it is part of. */
export function keepable(answer: unknown): string | null {
  const json = JSON.stringify(answer);
  return json === undefined || unstorable.test(json) ? null : json;
}
