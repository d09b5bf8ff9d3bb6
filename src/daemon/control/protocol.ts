import { z } from 'zod';
import { statusSchema } from '../../api/schemas.ts';
import { lifecycleStates } from '../../lifecycle/states.ts';

/**
 * The control plane: one JSON object a line, `type` says what is wanted. None of it is activity (law L11). A line with
 * `jsonrpc` is work instead, see `api/rpc-schema.ts`. Both ends check what they get.
 */

/** Longest line; that of a body over HTTP. */
export const maxLineBytes = 1024 * 1024;

export const maxReasonLength = 500;
const reason = z
  .string('must be a string')
  .max(maxReasonLength, `must be at most ${maxReasonLength} characters`)
  .optional();
/** 30 days. */
const maxPauseSeconds = 30 * 24 * 3600;
const expectedSeconds = `must be a whole number from 1 to ${maxPauseSeconds}`;

const requestSchemas = {
  status: z.strictObject({
    type: z.literal('status'),
    /** Waits up to a second for what the store says now, unless the daemon is parked. */
    fresh: z.boolean('must be true or false').optional(),
  }),
  force_sleep: z.strictObject({ type: z.literal('force_sleep'), reason }),
  wake: z.strictObject({ type: z.literal('wake'), reason }),
  pause: z.strictObject({
    type: z.literal('pause'),
    /** Absent: until `resume`. */
    seconds: z.int(expectedSeconds).min(1, expectedSeconds).max(maxPauseSeconds, expectedSeconds).optional(),
  }),
  resume: z.strictObject({ type: z.literal('resume') }),
};

export const controlRequestSchema = z.discriminatedUnion('type', [
  requestSchemas.status,
  requestSchemas.force_sleep,
  requestSchemas.wake,
  requestSchemas.pause,
  requestSchemas.resume,
]);

export const controlTypes = Object.keys(requestSchemas) as ControlType[];

function resultSchema<T extends ControlType>(type: T) {
  return z.strictObject({
    ok: z.literal(true),
    type: z.literal(type),
    state: z.enum(lifecycleStates),
    note: z.string(),
  });
}

export const controlReplySchemas = {
  status: z.strictObject({ ok: z.literal(true), type: z.literal('status'), status: statusSchema }),
  force_sleep: resultSchema('force_sleep'),
  wake: resultSchema('wake'),
  pause: resultSchema('pause'),
  resume: resultSchema('resume'),
};

export const controlErrorSchema = z.strictObject({
  ok: z.literal(false),
  error: z.strictObject({ code: z.string(), message: z.string() }),
});

export type ControlType = keyof typeof requestSchemas;
export type ControlRequest = z.output<typeof controlRequestSchema>;
export type ControlReply<T extends ControlType = ControlType> = z.output<(typeof controlReplySchemas)[T]>;
export type ControlError = z.output<typeof controlErrorSchema>;

export function controlError(code: string, message: string): ControlError {
  return { ok: false, error: { code, message } };
}
