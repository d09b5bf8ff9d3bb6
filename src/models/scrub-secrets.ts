/** Stands where a secret stood. Matches none of the patterns, so that scrubbing twice is scrubbing once. */
export const secretMarker = '[secret removed]';

/**
 * Shapes that are secrets wherever they stand. Each is linear: no nested quantifier, and a bound where two of them
 * could trade characters, since the text comes from outside.
 */
const tokenPatterns: readonly RegExp[] = [
  // A key that was cut off is as good as a whole one, so a missing END takes all that follows.
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g,
  /\bsk-(?=[A-Za-z_-]{0,200}\d)[A-Za-z0-9_-]{20,}/g,
  /\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}/g,
  /\bwhsec_[A-Za-z0-9]{24,}/g,
  /\bgh[pousr]_[A-Za-z0-9]{30,}/g,
  /\bgithub_pat_[A-Za-z0-9_]{30,}/g,
  /\bglpat-[A-Za-z0-9_-]{20,}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\bxapp-[A-Za-z0-9-]{20,}/g,
  /\bhooks\.slack\.com\/services\/[A-Za-z0-9/]{20,}/g,
  /\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{35}/g,
  /\bya29\.[A-Za-z0-9_-]{20,}/g,
  /\bnpm_[A-Za-z0-9]{36}/g,
  /\bpypi-[A-Za-z0-9_-]{40,}/g,
  /\bhf_[A-Za-z0-9]{30,}/g,
  /\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}/g,
  /\bdop_v1_[a-f0-9]{40,}/g,
  /\b\d{8,10}:AA[A-Za-z0-9_-]{33}/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*/g,
];

const secretName = '(?:password|passwd|passphrase|pwd|secret|token|(?:api|access|auth|private)[ _-]?key|credentials?)';

/** A name that says so, then the secret: the second group is what goes. */
const namedPatterns: readonly RegExp[] = [
  /(\b(?:Bearer|Basic)\s+)(?!\[secret)([A-Za-z0-9._~+/=-]{16,})/gi,
  // https://user:password@host
  /(\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,128}:)(?!\[secret)([^\s@/]{1,256})(?=@)/gi,
  // password="two words", password=hunter2
  new RegExp(
    `(\\b[\\w-]{0,40}${secretName}["']?\\s{0,3}=\\s{0,3})(?!\\[secret)("[^"\\n]{1,512}"|'[^'\\n]{1,512}'|[^\\s"',;&]{3,})`,
    'gi',
  ),
  // "password": "two words"
  new RegExp(
    `(\\b[\\w-]{0,40}${secretName}["']?\\s{0,3}:\\s{0,3})(?!\\[secret)("[^"\\n]{1,512}"|'[^'\\n]{1,512}')`,
    'gi',
  ),
  // "Password: hunter2", "the password is hunter2": prose follows a colon as well, so the word has to look like no word.
  new RegExp(
    `(\\b[\\w-]{0,40}${secretName}(?:\\s{0,3}:\\s{0,3}|\\s{1,3}is:?\\s{1,3}))(?!\\[secret)((?=[^\\s"']{0,256}[0-9!#$%^*])[^\\s"']{4,}[^\\s"'.,;:)])`,
    'gi',
  ),
];

export interface Scrubbed<T> {
  readonly value: T;
  /** How many secrets were taken out. */
  readonly removed: number;
}

/** Replaces what has the shape of a secret. Errs towards taking out: a memory can be told again, a leaked key not. */
export function scrubSecrets(text: string): Scrubbed<string> {
  let { value, removed } = scrubOnce(text);
  // One secret gone can lay the beginning of another bare (two keys written together): until nothing is left.
  for (let more = removed; more > 0; removed += more) ({ value, removed: more } = scrubOnce(value));
  return { value, removed };
}

function scrubOnce(text: string): Scrubbed<string> {
  let removed = 0;
  let value = text;
  for (const pattern of tokenPatterns) {
    value = value.replace(pattern, () => {
      removed += 1;
      return secretMarker;
    });
  }
  for (const pattern of namedPatterns) {
    value = value.replace(pattern, (_match, name: string) => {
      removed += 1;
      return name + secretMarker;
    });
  }
  return { value, removed };
}

const secretKey = new RegExp(`^[\\w-]{0,40}${secretName}$`, 'i');

/** The same for every string of a JSON value; a string under a key named like a secret goes as a whole. */
export function scrubJson(input: unknown): Scrubbed<unknown> {
  let removed = 0;
  const visit = (value: unknown): unknown => {
    if (typeof value === 'string') {
      const scrubbed = scrubSecrets(value);
      removed += scrubbed.removed;
      return scrubbed.value;
    }
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => {
        const cleanKey = visit(key) as string;
        if (typeof inner !== 'string' || inner === secretMarker || !secretKey.test(key))
          return [cleanKey, visit(inner)];
        removed += 1;
        return [cleanKey, secretMarker];
      }),
    );
  };
  return { value: visit(input), removed };
}
