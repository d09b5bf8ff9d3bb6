import type { Clock } from '../../telemetry/clock.ts';
import { classifyOpenAiError, timedOut } from './classify-error.ts';
import type { EndpointFacts } from './error-message.ts';

/**
 * Runs one request of the client, for at most `timeoutMs` from now until its last byte. `hasAnswered`: whether the model has
 * answered usably before.
 *
 * @throws ProviderError, ModelContentError, or the signal's reason; both end the request at the socket
 */
export async function callWithin<T>(
  facts: EndpointFacts,
  options: {
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly clock: Clock;
    readonly hasAnswered: () => boolean;
  },
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, signal, timeoutMs } = options;
  signal.throwIfAborted();
  const sentAtMs = clock.monotonicMs();
  const over = new AbortController();
  const ending = new AbortController();
  let isExpired = false;
  void clock.sleep(timeoutMs, over.signal).then(() => {
    if (over.signal.aborted) return;
    isExpired = true;
    ending.abort();
  });
  // By hand and taken off again: the caller's signal may live as long as the process.
  const leave = () => ending.abort();
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await call(ending.signal);
  } catch (thrown) {
    signal.throwIfAborted();
    if (isExpired) throw timedOut(timeoutMs, facts);
    throw classifyOpenAiError(thrown, { ...facts, sentAtMs, now: clock.now(), hasAnswered: options.hasAnswered() });
  } finally {
    over.abort();
    signal.removeEventListener('abort', leave);
  }
}
