/** What jsonb refuses within a string: NUL, and half of a surrogate pair. */
const unstorable = /\\u(?:0000|d[89a-f])/i;

/** JSON text of an answer; null where the database would refuse it, and with it the settlement that it is part of. */
export function keepable(answer: unknown): string | null {
  const json = JSON.stringify(answer);
  return json === undefined || unstorable.test(json) ? null : json;
}
