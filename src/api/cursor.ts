import { z } from 'zod';
import type { PageEnd } from '../store/memory-rows.ts';
import type { DiffPlace } from '../store/snapshots.ts';
import type { TimelinePlace } from '../store/timeline.ts';
import { ApiError } from './api-error.ts';

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

const mostXid = 2n ** 64n - 1n;
const placeSchema = z.tuple([
  z.string().min(1),
  z
    .string()
    .regex(/^\d{1,20}$/)
    .refine((xid) => BigInt(xid) <= mostXid),
  z.int().min(0),
]);

/** A place in a timeline, as opaque as the end of a page. */
export function encodePlace(place: TimelinePlace): string {
  return Buffer.from(JSON.stringify([place.store, place.xid, place.id])).toString('base64url');
}

function decodePlace(text: string): TimelinePlace | undefined {
  try {
    const [store, xid, id] = placeSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    return { store, xid, id };
  } catch {
    return undefined;
  }
}

export const placeCursorSchema = z
  .string()
  .max(200)
  .refine((text) => decodePlace(text) !== undefined, 'is not a cursor of this timeline')
  .optional();

export function placeOf(cursor: string | undefined): TimelinePlace | null {
  return cursor === undefined ? null : (decodePlace(cursor) ?? null);
}

/** Of a cursor that a timeline gave before a restore, or that another store gave. */
export function cursorOfOtherStore(path: 'before' | 'after'): ApiError {
  const message = 'the store was restored since; read from the beginning';
  return new ApiError(422, 'INVALID', `${path}: ${message}`, [{ path, message }]);
}

const diffPlaceSchema = z.tuple([z.enum(['memories', 'observations']), z.uuid()]);

/** A place in a comparison of snapshots. */
export function encodeDiffPlace({ target, id }: DiffPlace): string {
  return Buffer.from(JSON.stringify([target, id])).toString('base64url');
}

export function decodeDiffPlace(text: string): DiffPlace | undefined {
  try {
    const [target, id] = diffPlaceSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
    return { target, id };
  } catch {
    return undefined;
  }
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
