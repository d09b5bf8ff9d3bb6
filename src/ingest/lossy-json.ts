import type { FieldError } from './field-errors.ts';

/**
 * The first thing in a parsed JSON text that would not be stored as it was sent: a key `__proto__`, which copying an
 * object drops, or a number too large for a double, which comes back as null. Undefined where there is none.
 *
 * Has its own stack: JSON.parse takes a body that is nested deeper than calls can be.
 */
export function lossyJson(parsed: unknown): FieldError | undefined {
  const open: { readonly path: string; readonly value: unknown }[] = [{ path: '', value: parsed }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { path, value } = next;
    if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
      return { path, message: 'must be a number that a double can hold' };
    if (typeof value !== 'object' || value === null) continue;
    const isArray = Array.isArray(value);
    for (const [key, inner] of Object.entries(value).reverse()) {
      const innerPath = isArray ? `${path}[${key}]` : `${path}${path === '' ? '' : '.'}${key}`;
      if (key === '__proto__') return { path: innerPath, message: 'is no name that a field can have' };
      if (typeof inner === 'object' || typeof inner === 'number') open.push({ path: innerPath, value: inner });
    }
  }
  return undefined;
}
