import { type BreakerClass, probeDelayMs } from '../../src/models/breaker-policy.ts';

/** Probes that a breaker makes which opens now, by the policy alone; the rigs draw 0.5 each time. */
export function probesWithin(
  ms: number,
  outage: { readonly errorClass: BreakerClass; readonly retryAfterMs: number | null; readonly answerMs: number },
): number {
  const { errorClass, retryAfterMs, answerMs } = outage;
  let probes = 0;
  let atMs = answerMs;
  for (let failures = 1; ; failures += 1) {
    atMs += probeDelayMs({ errorClass, retryAfterMs, failures }, 0.5);
    if (atMs > ms) return probes;
    probes += 1;
    atMs += answerMs;
  }
}
