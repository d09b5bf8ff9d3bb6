import type { Clock } from '../../telemetry/clock.ts';
import { classifyOpenAiError, timedOut } from './classify-error.ts';
import type { EndpointFacts } from './error-message.ts';

/**
 * Runs one request of the client, for at most `timeoutMs` from now until its last byte.
 *
 * @throws ProviderError, ModelContentError, or the signal's reason; both end the request at the socket
 */
export async function callWithin<T>(
  facts: EndpointFacts,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal; readonly clock: Clock },
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, signal, timeoutMs } = options;
  signal.throwIfAborted();
  const sentAtMs = clock.monotonicMs();
  const expired = new AbortController();
  const over = new AbortController();
  void clock.sleep(timeoutMs, over.signal).then(() => {
    if (!over.signal.aborted) expired.abort();
  });
  try {
    return await call(AbortSignal.any([signal, expired.signal]));
  } catch (thrown) {
    signal.throwIfAborted();
    if (expired.signal.aborted) throw timedOut(timeoutMs, facts);
    throw classifyOpenAiError(thrown, { ...facts, sentAtMs, now: clock.now() });
  } finally {
    over.abort();
  }
}
