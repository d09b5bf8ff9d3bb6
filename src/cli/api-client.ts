import { ApiError } from './cli-errors.ts';
import type { ApiRequest, Transport } from './transport.ts';

/**
 * Sends a request and returns the body of its success. What comes back is our own daemon's or our own process's, whose
 * shapes are those of the routes; they are not checked again.
 *
 * @throws ApiError with the code and the words of the answer
 */
export async function call<T>(transport: Transport, request: ApiRequest): Promise<T> {
  const { status, body } = await transport.request(request);
  if (status >= 200 && status < 300) return body as T;
  throw apiErrorOf(status, body);
}

/** An answer as the routes write their problems, or as a proxy in between writes its own. */
interface ProblemBody {
  readonly error?: {
    readonly code?: string;
    readonly message?: string;
    readonly details?: readonly { readonly path: string; readonly message: string }[];
  };
}

export function apiErrorOf(status: number, body: unknown): ApiError {
  const { error } = (typeof body === 'object' && body !== null ? body : {}) as ProblemBody;
  const message = error?.message ?? `the daemon answered with status ${status}`;
  const all = error?.details ?? [];
  // Changes in the way are listed, a line each, by whoever prints the error.
  if (error?.code === 'LATER_CHANGES') return new ApiError(status, error.code, message, all);
  // A problem with one field says so in its message already.
  const details = all
    .map((detail) => (detail.path === '' ? detail.message : `${detail.path}: ${detail.message}`))
    .filter((detail) => !message.includes(detail));
  return new ApiError(
    status,
    error?.code ?? 'HTTP',
    details.length > 0 ? `${message}: ${details.join('; ')}` : message,
    all,
  );
}
