import { z } from 'zod';
import { fieldErrors } from '../ingest/field-errors.ts';
import type { ActivityPort } from '../lifecycle/life-view.ts';
import { ApiError } from './api-error.ts';
import type { Route, RouteAnswer } from './route.ts';

/** A request that was authenticated and routed, as it came. */
export interface RawRequest {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  readonly idempotencyKey: unknown;
  /** What its sender calls the key: a header, or a parameter. */
  readonly idempotencyName: string;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

const maxKeyLength = 255;
const noFields = z.strictObject({});

/**
 * Checks the shape of a request, tells the daemon's life that there is work (law L11: here and nowhere else, so that nothing
 * malformed and no probe moves its clock), and does it. The same for HTTP and for the control socket.
 *
 * @throws ApiError 422 where the shape is wrong, and whatever the route throws
 */
export async function performRoute(
  spec: Route,
  raw: RawRequest,
  activity: ActivityPort | undefined,
): Promise<RouteAnswer<unknown>> {
  const input = {
    params: checked(spec.params ?? noFields, raw.params),
    query: checked(spec.query ?? noFields, raw.query),
    body: spec.body && checked(spec.bodyOf?.(raw.body) ?? spec.body, raw.body),
    idempotencyKey: spec.takesIdempotencyKey ? checkedKey(raw) : undefined,
    signal: raw.signal,
  };
  const release = spec.isWork ? activity?.begin(spec.path) : undefined;
  try {
    return await spec.handle(input);
  } finally {
    release?.();
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const details = fieldErrors(parsed.error);
  const [first] = details;
  const more = details.length > 1 ? ` (and ${details.length - 1} more)` : '';
  const message = first ? `${first.path === '' ? 'the body' : first.path}: ${first.message}${more}` : 'not valid';
  throw new ApiError(422, 'INVALID', message, details);
}

function checkedKey({ idempotencyKey: key, idempotencyName: name }: RawRequest): string | undefined {
  if (key === undefined) return undefined;
  if (typeof key === 'string' && key.length >= 1 && key.length <= maxKeyLength && /^[\x20-\x7e]+$/.test(key))
    return key;
  const message = `must be 1 to ${maxKeyLength} printable ASCII characters`;
  throw new ApiError(422, 'INVALID', `${name}: ${message}`, [{ path: name, message }]);
}
