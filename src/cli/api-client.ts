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
  throw toApiError(status, body);
}
