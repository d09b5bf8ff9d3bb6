import { z } from 'zod';
import { fieldErrors, fieldErrorsText } from '../ingest/field-errors.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { ApiError } from './api-error.ts';
import type { AppDeps } from './app-deps.ts';
import { performRoute, type RawRequest } from './perform-route.ts';
import { problemOf } from './problem.ts';
import type { Route } from './route.ts';
import { apiRoutes } from './routes/api-routes.ts';
import { type RpcError, type RpcResult, rpcError, rpcRequestSchema } from './rpc-schema.ts';

/** Answers one JSON value that claims to be a JSON-RPC request. Never throws. */
export type RpcDispatcher = (request: unknown, signal: AbortSignal) => Promise<RpcResult | RpcError>;

/**
 * The routes of `/v1` by their operation ids, for a socket that only its owner can open: no token, no Host. What HTTP refuses
 * with a problem is refused here with its code.
 */
export function createRpcDispatcher(deps: AppDeps): RpcDispatcher {
  // One line asks and one answers: what streams is for HTTP.
  const routes = new Map(
    apiRoutes(deps)
      .filter((spec) => !spec.isStream)
      .map((spec) => [spec.operationId, spec]),
  );

  return async (value, signal) => {
    const parsed = rpcRequestSchema.safeParse(value);
    if (!parsed.success) return refusedRequest(value, parsed.error);
    const { id, method, params = {} } = parsed.data;
    try {
      const condition = deps.condition();
      if (condition !== 'ready') throw new ApiError(503, condition.toUpperCase(), `the daemon is ${condition}`);
      const spec = routes.get(method);
      if (!spec) {
        return rpcError(id, 'method', 'there is no such method; they are the operation ids of /v1/openapi.json');
      }
      const { body } = await performRoute(spec, rawRequest(spec, params, signal), deps.activity);
      // A result has to be there; no route answers with nothing, but JSON would drop it silently.
      return { jsonrpc: '2.0', id, result: body ?? null };
    } catch (thrown) {
      const { status, body } = problemOf(thrown);
      if (status >= 500)
        deps.log.error({ method, status, code: body.error.code, error: errorMessage(thrown) }, 'request failed');
      const { message, ...data } = body.error;
      return rpcError(id, data.code === 'INVALID' ? 'params' : 'problem', message, data);
    }
  };
}

/** An id that can be read is given back, so that whoever asked with it learns why. */
function refusedRequest(value: unknown, error: z.ZodError): RpcError {
  const own = z.looseObject({ id: rpcRequestSchema.shape.id }).safeParse(value);
  const why = Array.isArray(value) ? 'batches are not taken: one request a line' : fieldErrorsText(fieldErrors(error));
  return rpcError(own.success ? own.data.id : null, 'request', why, { code: 'INVALID_REQUEST' });
}

/** What HTTP has in a path, a query, a header and a body stands side by side here. */
function rawRequest(spec: Route, params: unknown, signal: AbortSignal): RawRequest {
  if (typeof params !== 'object' || params === null || Array.isArray(params))
    throw new ApiError(422, 'INVALID', 'params: must be an object: parameters go by name');
  const inPath = namesOf(spec.params);
  const raw = {
    params: {} as Record<string, unknown>,
    query: {} as Record<string, unknown>,
    body: undefined as unknown,
    idempotencyKey: undefined as unknown,
    idempotencyName: 'idempotency_key',
    signal,
  };
  for (const [name, value] of Object.entries(params)) {
    if (inPath.has(name)) raw.params[name] = value;
    else if (name === 'body' && spec.body) raw.body = value;
    else if (name === 'idempotency_key' && spec.takesIdempotencyKey) raw.idempotencyKey = value;
    // What nobody takes is refused by the schema of the query.
    else raw.query[name] = asInQuery(value);
  }
  return raw;
}

function namesOf(schema: Route['params']): ReadonlySet<string> {
  return new Set(schema instanceof z.ZodObject ? Object.keys(schema.shape) : []);
}

/** A query has no numbers: `limit: 5` means the `limit=5` of HTTP. */
function asInQuery(value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
}
