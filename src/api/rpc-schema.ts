import { z } from 'zod';
import { problemSchema } from './problem.ts';

/** JSON-RPC 2.0 as the control socket speaks it; both ends check what they get. */

/** Null names nobody, and a fraction is not the same number everywhere. */
const expectedId = 'must be a string of at most 255 characters or a whole number from -(2^53 - 1) to 2^53 - 1';
const rpcIdSchema = z.union([z.string().max(255, expectedId), z.int(expectedId)], { error: expectedId });

const expectedMethod = 'must be a string of 1 to 100 characters';

export const rpcRequestSchema = z.strictObject({
  jsonrpc: z.literal('2.0', { error: 'must be "2.0"' }),
  id: rpcIdSchema,
  method: z.string(expectedMethod).min(1).max(100),
  /** By name: path and query parameters of the route, `body`, `idempotency_key`. */
  params: z.unknown().optional(),
});

export const rpcErrorCodes = {
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  /** A problem that HTTP would have answered with; `data.code` says which. */
  problem: -32000,
} as const;

export const rpcErrorSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  /** Null: of a request whose id could not be read. */
  id: rpcIdSchema.nullable(),
  error: z.strictObject({
    code: z.int(),
    message: z.string(),
    data: z.strictObject(problemSchema.shape.error.omit({ message: true }).shape).optional(),
  }),
});

export const rpcResultSchema = z.strictObject({ jsonrpc: z.literal('2.0'), id: rpcIdSchema, result: z.unknown() });

export type RpcId = z.output<typeof rpcIdSchema>;
export type RpcError = z.output<typeof rpcErrorSchema>;
export type RpcResult = z.output<typeof rpcResultSchema>;

export function rpcError(
  id: RpcId | null,
  name: keyof typeof rpcErrorCodes,
  message: string,
  data?: RpcError['error']['data'],
): RpcError {
  return { jsonrpc: '2.0', id, error: { code: rpcErrorCodes[name], message, ...(data && { data }) } };
}
