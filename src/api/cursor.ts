import { z } from 'zod';
import type { PageEnd } from '../store/memory-rows.ts';

const endSchema = z.tuple([z.iso.datetime({ precision: 6 }), z.uuid()]);

/** Where the next page begins, opaque to whoever carries it. */
export function encodeCursor(end: PageEnd | undefined): string | null {
  return end ? Buffer.from(JSON.stringify([end.at, end.id])).toString('base64url') : null;
}

function decodeCursor(text: string): PageEnd | undefined {
  try {
    const [at, id] = endSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    return { at, id };
  } catch {
    return undefined;
  }
}

export const cursorSchema = z
  .string()
  .max(200)
  .refine((text) => decodeCursor(text) !== undefined, 'is not a cursor of this service')
  .optional()
  .meta({ description: '`next_cursor` of the page before.' });

export function pageEnd(cursor: string | undefined): PageEnd | undefined {
  return cursor === undefined ? undefined : decodeCursor(cursor);
}

export function limitSchema(standard: number, most: number) {
  const message = `must be a whole number from 1 to ${most}`;
  return z
    .string()
    .regex(/^\d{1,5}$/, message)
    .transform(Number)
    .pipe(z.number(message).min(1, message).max(most, message))
    .default(standard)
    .meta({ description: `1 to ${most}; default ${standard}.` });
}
