/** Why PostgreSQL could not keep the text as it is, or undefined. */
export function unstorableReason(text: string): string | undefined {
  if (text.includes('\0')) return 'must not contain NUL characters';
  if (!text.isWellFormed()) return 'must not contain lone surrogates';
  return undefined;
}

/** Why a JSON value could not be kept: a bad string anywhere in it, or deeper nesting than anything sensible has. */
export function unstorableJsonReason(value: unknown, depthLeft = 8): string | undefined {
  if (typeof value === 'string') return unstorableReason(value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (depthLeft === 0) return 'must not be nested deeper than 8 levels';
  for (const [key, inner] of Object.entries(value)) {
    const reason = unstorableReason(key) ?? unstorableJsonReason(inner, depthLeft - 1);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
